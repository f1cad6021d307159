"""How much memory a training took at its worst moment."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Peak since it was made: the allocator's on CUDA; on the CPU the growth of this process, where Linux tells it."""

    def __init__(self, device: torch.device) -> None:
        """Start to watch `device`."""
        self._device = device
        self._before: int | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif platform.system() == "Linux":
            # 5 puts the high-water mark back to what is resident now; without the right to, an earlier peak may stay
            with suppress(OSError):
                _RESET.write_text("5")
            self._before = _status_bytes("VmRSS")

    def peak_bytes(self) -> int | None:
        """Bytes at the peak; None where this system does not tell."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        peak = _status_bytes("VmHWM") if self._before is not None else None
        return max(0, peak - self._before) if peak is not None and self._before is not None else None


def _status_bytes(key: str) -> int | None:
    """A line of the process' status such as `VmRSS: 1234 kB`, in bytes."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) * 1024 if found else None
