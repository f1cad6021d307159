from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.networks import device as devices
from autospine.planning.model import WEIGHTS
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.runs import RunFolder
from autospine.workflow.train import TrainRequest, train_fold, train_folds


@pytest.fixture
def run(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> RunFolder:
    """A planned toy dataset."""
    return plan_dataset(toy_dataset, tmp_path / "runs", PlanRequest(str(toy_recipe), device="cpu")).folder


def request(**more: object) -> TrainRequest:
    return TrainRequest("2d", epochs=1, device="cpu", workers=0, **more)  # type: ignore[arg-type]


def test_all_folds_of_an_earlier_plan_make_way_together(run: RunFolder, toy_dataset: Path) -> None:
    runs = run.root.parent
    for fold in (0, 1):
        train_fold(toy_dataset, fold, runs, request())
    text = run.plan.read_text()
    assert "order_label = 1" in text
    run.plan.write_text(text.replace("order_label = 1", "order_label = 0"))
    with pytest.raises(PlanError, match="trained with another plan"):
        train_fold(toy_dataset, 0, runs, request())
    with pytest.raises(PlanError, match="fold_1 were trained with another plan"):
        train_fold(toy_dataset, 0, runs, request(overwrite=True))
    assert (run.fold("2d", 0) / WEIGHTS).is_file()  # a refusal costs nothing

    done = list(train_folds(toy_dataset, "all", runs, request(overwrite=True)))
    assert [trained.folder.name for trained in done] == [f"fold_{number}" for number in range(5)]


def test_what_cannot_be_trained_replaces_nothing(
    run: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = run.root.parent
    train_fold(toy_dataset, 0, runs, request())
    monkeypatch.setattr(devices, "device_memory_gb", lambda device: 1e-6)
    with pytest.raises(PlanError, match="is expected to take"):
        train_fold(toy_dataset, 0, runs, request(overwrite=True))
    assert (run.fold("2d", 0) / WEIGHTS).is_file()
