"""A training as the loop sees it: the `Task` that is learnt (`fold`, `pretrain`), and the `Place` where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autospine.machine.precision import Precision
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.store import Store
from autospine.training.identity import Identity
from autospine.training.initial import CarriedOver
from autospine.training.step import Stepper
from autospine.training.workers import Batches

Judge = Callable[[], tuple[float | None, tuple[float | None, ...]]]
"""Loss and Dice after an epoch; None and nothing where nothing is held out."""


@dataclass(frozen=True)
class Place:
    """Where a training computes, and where it writes."""

    folder: Path
    """Where checkpoint, history and weights go."""
    device: torch.device
    workers: int = 1
    """Processes that build batches; 0 builds them in the training's own."""
    precision: Precision | None = None
    """In which the network computes; None: the one of `training_precision`."""


class Task(ABC):
    """What a training learns: a network and its loss, from which batches, and what its epochs are judged by."""

    card: ModelCard
    """What to build and how to train it; `training.budget_s` or `training.epochs` ends it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what an epoch is given the Dice of."""
        return ()

    @abstractmethod
    def identity(self, prepared: str) -> Identity:
        """What it depends on, `prepared` being the key of its cases: that of another must not be continued."""

    @abstractmethod
    def stepper(self, device: torch.device, precision: Precision) -> Stepper:
        """Network, loss and optimiser as they begin; the weights are torch's next random ones."""

    @abstractmethod
    def batches(self, store: Store) -> Batches:
        """What is learnt from: an image, then what the stepper's loss takes."""

    def judge(self, store: Store, stepper: Stepper, device: torch.device) -> Judge:
        """A function that says how good the `stepper`'s network is. Raises `PlanError` for what cannot be opened."""
        return lambda: (None, ())

    def begin(self, network: nn.Module) -> CarriedOver | None:
        """Change what is to be changed in a `network` that begins, not in one that goes on; what it took over."""
        return None
