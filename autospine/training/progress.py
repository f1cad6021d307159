"""What a training says of itself: while it runs, when it has ended, and in `history.csv`, a row an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.data.disk.tables import write_table
from autospine.machine.precision import Precision
from autospine.training.initial import CarriedOver

HISTORY = "history.csv"


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch came to."""

    epoch: int
    step: int
    """Training steps so far."""
    seconds: float
    """Seconds of training so far."""
    learning_rate: float
    """At the epoch's end."""
    train_loss: float
    """Mean over the epoch's steps."""
    validation_loss: float | None
    """Mean over the validation batches; None where the fold has no validation cases."""
    dice: tuple[float | None, ...]
    """Per class over all validation patches taken together; None where a class did not occur."""
    waiting: float | None = None
    """Share of the epoch's steps, in time, that passed until their batches were there; None: not known."""

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes that occurred."""
        known = [value for value in self.dice if value is not None]
        return sum(known) / len(known) if known else None

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EpochRecord:
        """Inverse of `asdict`, which is what a checkpoint holds."""
        return EpochRecord(**{**values, "dice": tuple(values["dice"])})


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
    waiting: float | None = None
    """That of the last epoch (`EpochRecord`)."""


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


def write_history(folder: Path, records: Sequence[EpochRecord], classes: Sequence[str]) -> None:
    """Write `history.csv`: epoch, step, seconds, rate, losses, waiting, then Dice per class and their mean."""
    header = ["epoch", "step", "seconds", "learning_rate", "train_loss", "validation_loss", "waiting"]
    rows = []
    for record in records:
        numbers = [record.seconds, record.learning_rate, record.train_loss, record.validation_loss, record.waiting]
        numbers += [*record.dice, record.mean_dice]
        rows.append([record.epoch, record.step, *("" if n is None else f"{n:.6g}" for n in numbers)])
    write_table(folder / HISTORY, [*header, *(f"dice_{name}" for name in classes), "dice_mean"], rows)
