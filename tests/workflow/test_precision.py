"""What plan, train and predict say and keep of the precision that is faster on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from autospine.machine.device import describe_device
from autospine.machine.precision import Choice
from autospine.networks import precision
from autospine.training import precision as trainings
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.runs.folder import read_record
from autospine.workflow.train import TrainRequest, train_fold
from tests.workflow.conftest import Noting

HALF = describe_device(torch.device("cpu"), "bfloat16")


@pytest.fixture(autouse=True)
def faster_in_bfloat16(monkeypatch: pytest.MonkeyPatch, float32: None) -> None:
    """A processor on which every network is twice as fast in bfloat16; nothing is pinned."""
    for place in (precision, trainings):
        monkeypatch.setattr(place, "pinned_precision", lambda: None)
        monkeypatch.setattr(place, "has_bfloat16_units", lambda: True)
    monkeypatch.setattr(precision, "_found", {})
    monkeypatch.setattr(precision, "_measured", lambda *_: Choice("bfloat16", 2.0))


def test_the_precision_is_said_and_kept_from_the_plan_to_the_prediction(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, steady: None
) -> None:
    runs, progress = tmp_path / "runs", Noting()
    wanted = PlanRequest(str(toy_recipe), budget_s=60.0, device="cpu")
    planned = plan_dataset(toy_dataset, runs, wanted)
    assert {one.device for one in planned.expected.values()} == {HALF}
    # the plan that stands was timed here, whatever the precision
    assert not [note for note in plan_dataset(toy_dataset, runs, wanted).notes if "timed on" in note]

    asked = TrainRequest("2d", epochs=1, device="cpu", workers=0)
    trained = train_fold(toy_dataset, 0, runs, asked, progress=progress)
    assert f"Training 2d, fold 0, on {HALF}, as the plan was timed" in progress.notes
    assert any(note.startswith("The plan's expectation: seconds a step: 0.01 expected") for note in progress.notes)
    record = read_record(trained.folder)
    assert record is not None and record["hardware"]["device"] == HALF

    progress.notes.clear()
    predict_paths(toy_dataset / "imagesTr", tmp_path / "out", runs, PredictRequest(device="cpu"), progress=progress)
    said = f"{HALF}, 2 times as fast as float32 on a core here"
    assert f"Predicting on {said}" in progress.notes
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["device"] == said


def test_an_edited_plan_has_its_precision_measured(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, steady: None
) -> None:
    run = plan_dataset(toy_dataset, tmp_path, PlanRequest(str(toy_recipe), device="cpu")).folder
    run.plan.write_text(run.plan.read_text().replace("\nbatch = ", "\nbatch = 1"))
    progress = Noting()
    train_fold(toy_dataset, 0, tmp_path, TrainRequest("2d", epochs=1, device="cpu", workers=0), progress=progress)
    assert f"Training 2d, fold 0, on {HALF}, 2 times as fast as float32 on a core here" in progress.notes
