"""Precisions in which a network may compute: which a device has, one that is pinned, and one that was chosen.

Which is the faster is measured on a network (`networks.precision`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

Precision = Literal["float32", "bfloat16", "float16"]
Engine = Literal["torch", "openvino"]

_CPU_INFO = Path("/proc/cpuinfo")
_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls units that multiply bfloat16: Intel's and AMD's, and Arm's."""
_pinned: ContextVar[Precision | None] = ContextVar("precision", default=None)


@dataclass(frozen=True)
class Choice:
    """A precision and an engine, and what speaks for them."""

    precision: Precision
    speed: float | None = None
    """How many times as fast as in float32 a core is in bfloat16 here; None where nothing was measured."""
    because: str = ""
    """What else decided, as a clause; empty where nothing else did."""
    engine: Engine = "torch"
    """What computes; anything but torch in prediction alone."""
    about_engine: str = ""
    """What spoke for the engine, as a clause; empty where there was none to choose from."""

    def __str__(self) -> str:
        """As a message says it."""
        return f"{self._precision()}; {self.about_engine}" if self.about_engine else self._precision()

    def _precision(self) -> str:
        if self.because:
            return f"{self.precision}, {self.because}"
        if self.speed is None:
            return self.precision
        if self.precision == "bfloat16":
            return f"bfloat16, {self.speed:.2g} times as fast as float32 on a core here"
        return f"float32: bfloat16 is {self.speed:.2g} times as fast on a core here"


@contextmanager
def pinned(precision: Precision) -> Iterator[None]:
    """A block in which every network computes in `precision`, whatever is faster."""
    before = _pinned.set(precision)
    try:
        yield
    finally:
        _pinned.reset(before)


def pinned_precision() -> Precision | None:
    """The precision of the innermost `pinned` block around; None outside of one."""
    return _pinned.get()


def gpu_precision(device: torch.device) -> Precision:
    """The half precision of a GPU: bfloat16 where it has units for it."""
    with torch.cuda.device(device):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """A context in which a forward pass on `device` runs in `precision`."""
    if precision == "float32":
        # a GPU's convolutions round their factors to 10 bits (TF32) unless told not to
        return torch.backends.cudnn.flags(allow_tf32=False) if device.type == "cuda" else nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float16)


def as_precision(text: object) -> Precision | None:
    """What a file holds, where it is a precision."""
    return next((known for known in get_args(Precision) if known == text), None)


def has_bfloat16_units() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (Linux tells; elsewhere: no)."""
    try:
        words = _CPU_INFO.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not _UNITS.isdisjoint(words)
