"""How far a training is, and the learning rate that belongs there.

Progress runs from 0 to 1: over steps, or, where the user gave a time, over the seconds that training has
really taken. The learning rate is a function of progress alone, so a time budget ends with the schedule.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from autospine.errors import PlanError
from autospine.planning.document.parts import TrainingPlan


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, then polynomial decay to 0 (nnU-Net's, exponent 0.9, with the warm-up added)."""

    plan: TrainingPlan

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training done after `step` steps and `seconds` of training, 0 to 1."""
        if self.plan.budget_s is not None:
            return min(seconds / self.plan.budget_s, 1.0)
        return min(step / self.plan.steps, 1.0)

    def check_goes_on(self, where: str, step: int, seconds: float) -> None:
        """Raise `PlanError` where a training that came to `step` and `seconds` is as long as this one, or longer."""
        if self.progress(step, seconds) < 1:
            return
        epochs = step / self.plan.steps_per_epoch
        asked = f"{self.plan.epochs} epochs" if self.plan.budget_s is None else f"{self.plan.budget_s:g} s"
        found = f"this training has come to {epochs:.4g} epochs in {seconds:.0f} s, and {asked} are asked for"
        remedy = "ask for more with --epochs or --budget to go on with it, or train anew with --overwrite"
        raise PlanError(where, found, "more than it has come to", remedy)

    def learning_rate(self, progress: float) -> float:
        """Learning rate at `progress`."""
        warmup = self.plan.warmup
        if progress < warmup:
            # a first step with rate 0 would be wasted: start at a hundredth
            return self.plan.learning_rate * max(progress / warmup, 0.01)
        left = (1 - progress) / (1 - warmup)
        return self.plan.learning_rate * float(left**self.plan.poly_power)


class Clock:
    """Seconds of training, over all runs of a resumed one."""

    def __init__(self, before: float = 0.0) -> None:
        """Start counting on top of `before` seconds."""
        self._start = time.monotonic() - before

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start


def build_optimiser(network: torch.nn.Module, plan: TrainingPlan) -> torch.optim.Optimizer:
    """The planned optimiser over all weights of `network`."""
    weights = list(network.parameters())
    rate, decay = plan.learning_rate, plan.weight_decay
    match plan.optimiser:
        case "sgd":
            return torch.optim.SGD(weights, rate, plan.momentum, weight_decay=decay, nesterov=True)
        case "adamw":
            return torch.optim.AdamW(weights, rate, weight_decay=decay)
