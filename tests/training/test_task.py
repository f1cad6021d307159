"""What a training learns, as the loop asks it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from autospine.training.epochs import fit
from autospine.training.identity import Identity
from autospine.training.initial import CarriedOver
from autospine.training.progress import EpochRecord, Watcher
from autospine.training.step import Stepper
from autospine.training.task import Place, Task
from tests.cards import card_of
from tests.training.trainings import CPU


class Zeros:
    """Images of nothing, all of it background."""

    def __init__(self, patch: tuple[int, ...]) -> None:
        self.patch = patch

    def check_cases(self) -> None:
        pass

    def __getitem__(self, step: int) -> tuple[object, ...]:
        return torch.zeros(1, 1, *self.patch).numpy(), torch.zeros(1, *self.patch, dtype=torch.int64).numpy()


class Least(Task):
    """A task that says no more than it must."""

    def __init__(self, configuration: Configuration) -> None:
        self.card = card_of(configuration)
        self.began = 0

    def identity(self, prepared: str) -> Identity:
        return Identity.of(self.card, after=[prepared])

    def stepper(self, device: torch.device, precision: str) -> Stepper:
        return Stepper.of(self.card, device, precision)  # type: ignore[arg-type]

    def batches(self, store: Store) -> Zeros:
        return Zeros(self.card.configuration.patch)

    def begin(self, network: torch.nn.Module) -> CarriedOver | None:
        self.began += 1
        return CarriedOver(0.5, ())


def test_the_loop_asks_a_task_and_tells_its_watcher(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    task, heard = Least(quick), list[object]()
    watcher = Watcher(
        on_start=heard.append,
        on_epoch=lambda record: heard.append(record.epoch),
        before_end=lambda: heard.append((tmp_path / "model.safetensors").exists()),
    )
    for _ in range(2):  # the second begins nothing, and all is there
        result = fit(task, small_store, Place(tmp_path, CPU, workers=0), watcher)
        assert result.step == 12 and task.began == 1
    assert heard == [CarriedOver(0.5, ()), 0, 1, 2, False, True]
    assert all((record.validation_loss, record.dice) == (None, ()) for record in result.history)
    assert isinstance(result.history[0], EpochRecord)


def test_a_task_says_what_it_learns() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Task()  # type: ignore[abstract]
