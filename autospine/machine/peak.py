"""How much memory a training took at its worst moment."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Peak since it was made: the allocator's on CUDA; on the CPU the growth of this process, where Linux tells it.

    Files that are mapped and read meanwhile (the prepared cases) are left out: the system takes that memory back when
    it needs it. What of them was mapped only after the peak is left out too, so on the CPU the figure may be too low,
    by at most that; steps repeat themselves, and in a training of many it is not.
    """

    def __init__(self, device: torch.device) -> None:
        """Start to watch `device`."""
        self._device = device
        self._before: int | None = None
        self._mapped = 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif platform.system() == "Linux":
            # 5 puts the high-water mark back to what is resident now; without the right to, an earlier peak may stay
            with suppress(OSError):
                _RESET.write_text("5")
            self._before = _status_bytes("VmRSS")
            self._mapped = _mapped_bytes()

    def peak_bytes(self) -> int | None:
        """Bytes at the peak; None where this system does not tell."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        peak = _status_bytes("VmHWM") if self._before is not None else None
        if peak is None or self._before is None:
            return None
        return max(0, peak - self._before - max(0, _mapped_bytes() - self._mapped))


def _mapped_bytes() -> int:
    """Resident bytes of mapped files and shared memory."""
    return (_status_bytes("RssFile") or 0) + (_status_bytes("RssShmem") or 0)


def _status_bytes(key: str) -> int | None:
    """A line of the process' status such as `VmRSS: 1234 kB`, in bytes."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) * 1024 if found else None
