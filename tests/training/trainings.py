"""Short trainings of the small store's cases, and what stops them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from autospine.data.folds import Fold
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training.epochs import fit
from autospine.training.fold import FoldTask
from autospine.training.progress import FitProgress, FitResult, Watcher
from autospine.training.task import Place, Task
from tests.cards import card_of

FOLD = Fold(("a", "b"), ("c",))
CPU = torch.device("cpu")


def segmenting(configuration: Configuration, fold: Fold = FOLD, **more: Any) -> FoldTask:
    return FoldTask(card_of(configuration), fold, **more)


def run(task: Task, store: Store, folder: Path, **how: Any) -> FitResult:
    """The training of `task` in `folder`; of `how` some say where, the others are called."""
    folder.mkdir(exist_ok=True)
    where = {name: how.pop(name) for name in ("device", "workers", "precision") if name in how}
    return fit(task, store, Place(folder, **{"device": CPU, "workers": 0, **where}), Watcher(**how))


def train(configuration: Configuration, store: Store, folder: Path, fold: Fold = FOLD, **how: Any) -> FitResult:
    return run(segmenting(configuration, fold), store, folder, **how)


def lasting(configuration: Configuration, **changes: object) -> Configuration:
    return replace(configuration, training=replace(configuration.training, **changes))  # type: ignore[arg-type]


def stop_at(step: int, number: signal.Signals = signal.SIGINT) -> Callable[[FitProgress], None]:
    def on_step(state: FitProgress) -> None:
        if state.step == step:
            os.kill(os.getpid(), number)

    return on_step
