"""The history of a training, one row an epoch, as `history.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.data.files import write_text

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

    @property
    def mean_dice(self) -> float | None:
        """Mean over the classes that occurred."""
        known = [value for value in self.dice if value is not None]
        return sum(known) / len(known) if known else None

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EpochRecord:
        """Inverse of `asdict`, which is what a checkpoint holds."""
        return EpochRecord(**{**values, "dice": tuple(values["dice"])})


def write_history(folder: Path, records: Sequence[EpochRecord], classes: Sequence[str]) -> None:
    """Write `history.csv`: epoch, step, seconds, rate, losses, then Dice per class and their mean."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    header = ["epoch", "step", "seconds", "learning_rate", "train_loss", "validation_loss"]
    writer.writerow([*header, *(f"dice_{name}" for name in classes), "dice_mean"])
    for record in records:
        numbers = [record.seconds, record.learning_rate, record.train_loss, record.validation_loss]
        numbers += [*record.dice, record.mean_dice]
        writer.writerow([record.epoch, record.step, *("" if n is None else f"{n:.6g}" for n in numbers)])
    write_text(folder / HISTORY, buffer.getvalue())
