"""How a device computes a training step, as the estimate of its memory has to know it; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Arithmetic = Literal["float32", "bfloat16", "half"]
"""In which numbers: `half` on a GPU, whichever of the two it has; `float32` or `bfloat16` on a CPU."""


@dataclass(frozen=True)
class Machine:
    """How a device computes a step: decides the memory it takes."""

    precision: Arithmetic = "half"
    """`half` is what the rules' memory sizes mean."""
    threads: int = 1
    """Threads of a CPU that compute a step, 1 on a GPU."""
