"""A training in its run folder: the memory it is refused for, where its precision is looked up, its end on record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.machine.precision import Choice
from autospine.training.epochs import FitResult
from autospine.training.fold import FoldTask
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder, read_record
from autospine.workflow.steps.training import Training


def begun(run: RunFolder, course: str = "begins") -> Training[FoldTask]:
    plan = run.read_plan()
    task, folder = FoldTask(plan.card(), Fold(("a",), ())), run.fold(plan.default, 0)
    told: Any = (task, task.identity("key"), folder, (), course, torch.device("cpu"), Silent())
    return Training(run, plan, *told)


def test_too_little_memory_is_refused_before_anything_is_done(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    training = begun(run)
    for total in (None, 1000.0):
        monkeypatch.setattr("autospine.machine.device.device_memory_gb", lambda device, total=total: total)
        training.check_memory()
    monkeypatch.setattr("autospine.machine.device.device_memory_gb", lambda device: 1e-6)
    with pytest.raises(PlanError, match="a training is expected to take"):
        training.check_memory()
    assert not training.folder.exists()


@pytest.mark.parametrize("course", ["begins", "goes on"])
def test_only_what_goes_on_keeps_the_precision_that_stands(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, course: str
) -> None:
    asked: list[object] = []
    found = Choice("float32", because="it is asked")
    monkeypatch.setattr(
        "autospine.training.precision.training_precision", lambda *given: asked.append(given[1]) or found
    )
    training = begun(run, course)
    assert training.choice is found and training.choice is found  # looked up once
    assert asked == [training.folder if course == "goes on" else None]


def test_the_end_is_recorded_with_what_it_was_prepared_from(run: RunFolder) -> None:
    training, store = begun(run), SimpleNamespace(key="prepared key")
    training.record(store, FitResult(12, 3.0, (), None, None), {"epochs": 2}, {"split": {"train": ["a"]}}, {})  # type: ignore[arg-type]
    record = read_record(training.folder)
    assert record is not None and record["identity"] == training.identity.exact
    data = {"dataset": "toy", "fingerprint": training.plan.fingerprint_hash, "prepared": "prepared key"}
    assert record["data"] == data and record["split"] == {"train": ["a"]} and record["flags"] == {"epochs": 2}
