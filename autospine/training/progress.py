"""What a training says of itself: while it runs, and when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autospine.machine.precision import Precision
from autospine.training.initial import CarriedOver
from autospine.training.log import EpochRecord


@dataclass(frozen=True)
class FitProgress:
    """What a progress bar shows after a step."""

    progress: float
    """Share of the training done, 0 to 1."""
    step: int
    seconds: float
    loss: float | None
    """Mean training loss since the epoch began."""
    dice: float | None
    """Mean Dice over what is segmented after the last epoch."""
    here_s: float = 0.0
    """Seconds of this call alone, without what an interrupted one took before."""
    seconds_per_step: float | None = None
    """As `FitResult` has it, so far."""
    threads: int | None = None
    """With which a step is computed at this time, trials of other numbers aside; None: not known."""


@dataclass(frozen=True)
class FitResult:
    """How a training ended."""

    step: int
    seconds: float
    history: tuple[EpochRecord, ...]
    seconds_per_step: float | None
    """Mean of this call after its first two steps, without validation and checkpoints; None where there are none."""
    peak_memory_bytes: int | None
    """CUDA: the allocator's peak. CPU: by how much the process grew in this call. None: unknown, or no step made."""
    precision: Precision = "float32"
    """In which the network computed."""


@dataclass(frozen=True)
class Watcher:
    """Who is told how a training goes."""

    on_start: Callable[[CarriedOver], None] = lambda taken: None
    """What was taken of other weights, where a training begins with them."""
    on_step: Callable[[FitProgress], None] = lambda state: None
    """After every step."""
    on_epoch: Callable[[EpochRecord], None] = lambda record: None
    """After every epoch, when the history has it."""
    before_end: Callable[[], None] = lambda: None
    """All is learnt and kept; the weights of the end are about to be written, and may replace those of an earlier."""
