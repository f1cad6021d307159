"""The best weights of a training that has not ended: what a prediction uses when it is stopped for good.

A moving average of the mean validation Dice tells which epoch's are best, as nnU-Net chooses its best checkpoint
(Isensee et al. 2021, `nnUNetTrainer.on_epoch_end`): a single epoch's Dice over a few patches jumps. They are copied to
the host's memory where an epoch is better, and written with a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from autospine.networks.weights import read_metadata
from autospine.planning.document.model import BEST
from autospine.planning.document.parts import TrainingPlan
from autospine.training.checkpoint import write_weights
from autospine.training.log import EpochRecord

OLD = 0.9
"""Share of the average so far; nnU-Net's."""


def moving_dice(history: Sequence[EpochRecord]) -> float | None:
    """The moving average of the mean Dice after the last of these epochs; None where none has a Dice."""
    average: float | None = None
    for record in history:
        if record.mean_dice is not None:
            average = record.mean_dice if average is None else OLD * average + (1 - OLD) * record.mean_dice
    return average


class BestWeights:
    """Keeps the best weights of the training in a folder, as `best.safetensors`."""

    def __init__(self, folder: Path, training: TrainingPlan) -> None:
        """Go on with what stands in `folder`."""
        self._path, self._training = folder / BEST, training
        self._dice = _written_dice(self._path)
        """Moving Dice of the best epoch; None before there is one."""
        self._kept: dict[str, torch.Tensor] = {}
        self._about: dict[str, str] = {}
        """Of `_kept`; empty once it is written."""

    def remove(self) -> None:
        """Forget all of it, the file too: a training begins, or has ended."""
        self._path.unlink(missing_ok=True)
        self._dice, self._about = None, {}

    def look(self, weights: Mapping[str, torch.Tensor], history: Sequence[EpochRecord]) -> None:
        """Keep a copy of `weights` where the epoch that has just ended, the last of `history`, is the best."""
        dice = moving_dice(history)
        if history[-1].mean_dice is None or dice is None or (self._dice is not None and dice <= self._dice):
            return
        self._dice = dice
        for name, tensor in weights.items():
            if name not in self._kept:
                self._kept[name] = torch.empty_like(tensor, device="cpu")
            self._kept[name].copy_(tensor)
        self._about = {**self._stand(history[-1].step, len(history)), "moving_dice": repr(dice)}

    def write(self, weights: Mapping[str, torch.Tensor], step: int, history: Sequence[EpochRecord]) -> None:
        """Bring the best to the disk where they are not there; before there is a Dice to go by, these `weights`."""
        if self._dice is None:
            write_weights(self._path, weights, self._stand(step, len(history)))
        elif self._about:
            write_weights(self._path, self._kept, self._about)
            self._about = {}

    def _stand(self, step: int, epoch: int) -> dict[str, str]:
        planned = {"epochs": str(self._training.epochs)} if self._training.budget_s is None else {}
        return {"step": str(step), "epoch": str(epoch), **planned}


def _written_dice(path: Path) -> float | None:
    """The moving Dice of the weights at `path`; None where there are none that say."""
    try:
        return float(read_metadata(path)["moving_dice"])
    except (KeyError, ValueError):
        return None
