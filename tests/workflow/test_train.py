"""A training: what it replaces, what it tells of the plan's expectation, and that it plans first where no plan is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from autospine.data.structure import Reading
from autospine.errors import OutputError, PlanError
from autospine.inference.loading import first_fold, load_model, load_stages
from autospine.inference.settings import Settings
from autospine.machine import device as devices
from autospine.planning.document.about import read_about
from autospine.planning.document.expected import write_expected
from autospine.planning.document.model_file import BEST, MODEL, WEIGHTS
from autospine.planning.document.promise import PROMISE
from autospine.preprocessing.store import Store
from autospine.training.progress import EpochRecord
from autospine.workflow import plan as planning
from autospine.workflow import train as workflow_train
from autospine.workflow.export import ExportRequest, export_model
from autospine.workflow.plan import PlanRequest
from autospine.workflow.progress import Silent
from autospine.workflow.runs import folder as runs_module
from autospine.workflow.runs.folder import RunFolder, read_record
from autospine.workflow.steps.request import fold_numbers
from autospine.workflow.train import TrainRequest, train_fold, train_folds


@pytest.fixture
def run(planned_toy: Path) -> RunFolder:
    """A planned toy dataset."""
    return RunFolder(planned_toy / "toy")


@pytest.fixture(autouse=True)
def reported(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What a report was asked of, instead of the report."""
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(workflow_train, "report_training", lambda *given: asked.append(given[:3]))
    return asked


def request(**more: object) -> TrainRequest:
    return TrainRequest("2d", epochs=1, device="cpu", workers=0, **more)  # type: ignore[arg-type]


def test_a_training_on_every_case_stands_beside_the_folds(run: RunFolder, toy_dataset: Path) -> None:
    """It is not scored, and predicts where it is asked for, or where nothing else is there."""
    runs, model = run.root.parent, run.model("2d")
    (full,) = train_folds(toy_dataset, "full", runs, request())
    assert full.folder == model / "fold_full" and full.metrics is None
    record = read_record(full.folder)
    assert record is not None
    assert record["split"]["validation"] == [] and len(record["split"]["train"]) == len(Store(run.prepared("2d")).names)
    assert load_model(model, torch.device("cpu")).origin.folds == ("full",)
    (again,) = train_folds(toy_dataset, "full", runs, request())
    assert again.folder == full.folder
    train_fold(toy_dataset, 0, runs, request())
    assert load_model(model, torch.device("cpu")).origin.folds == ("0",)
    assert load_model(model, torch.device("cpu"), ("full",)).origin.folds == ("full",)
    assert len(load_model(model, torch.device("cpu"), ("0", "full")).networks) == 2
    # what the folds have taught stays, and is not said of it
    (again,) = train_folds(toy_dataset, "full", runs, request(overwrite=True))
    assert (model / PROMISE).is_file()
    asked = load_stages(model, torch.device("cpu"), Settings(("full",)))
    assert asked.promise is None and asked.origin.promise_withheld
    file = run.root / "given.autospine"
    export_model(file, ExportRequest(model, ("full",)))
    given = load_stages(file, torch.device("cpu"))
    assert given.origin.folds == ("full",) and given.promise is None and not given.origin.promise_withheld
    (run.fold("2d", 0) / WEIGHTS).rename(run.fold("2d", 0) / BEST)  # as of one that was stopped
    assert load_model(model, torch.device("cpu")).origin.folds == first_fold(model) == ("full",)
    with pytest.raises(PlanError, match="0 to 4, all, or full"):
        fold_numbers("fully", run)


def test_all_folds_of_an_earlier_plan_make_way_together(
    run: RunFolder, toy_dataset: Path, reported: list[tuple[object, ...]]
) -> None:
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
    assert reported[-5:] == [(run, "2d", toy_dataset)] * 5  # at the end of each fold


def test_what_was_expected_is_told_and_kept(run: RunFolder, toy_dataset: Path) -> None:
    class Listening(Silent):
        notes: ClassVar[list[str]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    name = devices.describe_device(torch.device("cpu"))
    known = run.read_expected()
    timed = replace(known["2d"], device=name, seconds_per_step=0.5, steps=3)
    write_expected(run.expected, {**known, "2d": timed})
    trained = train_fold(toy_dataset, 0, run.root.parent, request(), progress=Listening())
    about = read_about(trained.folder.parent)
    assert about is not None and about.trained_on is not None and about.trained_on.cases == 6
    record = read_record(trained.folder)
    assert record is not None
    (told,) = [note for note in Listening.notes if note.startswith("The plan's expectation: ")]
    assert "seconds a step: 0.5 expected" in told
    assert "steps" not in record["expected"]  # --epochs is another schedule than the plan's
    assert record["expected"]["seconds_per_step"] == 0.5
    assert 0 < record["result"]["seconds_per_step"] * (record["result"]["steps"] - 2) <= record["result"]["seconds"]


def test_a_dataset_without_a_plan_is_planned_first(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[PlanRequest] = []
    real = planning.plan_dataset

    def watch(dataset: Path, runs: Path, request: PlanRequest, **more: object) -> object:
        asked.append(request)
        return real(dataset, runs, replace(request, budget_s=None), **more)  # type: ignore[arg-type]

    monkeypatch.setattr(planning, "plan_dataset", watch)
    wanted = TrainRequest("2d", budget_s=1.0, device="cpu", workers=0, reading=Reading(subjects=r"toy_(\d+)"))
    (first,) = train_folds(toy_dataset, "0", tmp_path, wanted)
    assert asked == [PlanRequest(budget_s=1.0, device="cpu", reading=Reading(subjects=r"toy_(\d+)"))]
    assert (tmp_path / "toy" / "plan.toml").is_file()
    before = (first.folder / WEIGHTS).stat().st_mtime_ns
    (again,) = train_folds(toy_dataset, "0", tmp_path, wanted)
    assert len(asked) == 1
    with pytest.raises(PlanError, match="the folds were made with --subjects"):
        next(train_folds(toy_dataset, "0", tmp_path, replace(wanted, reading=Reading(subjects="(.)"))))
    (tmp_path / "toy" / "request.json").unlink()
    with pytest.raises(PlanError, match="not known how the folds were made"):
        next(train_folds(toy_dataset, "0", tmp_path, wanted))
    assert (again.folder / WEIGHTS).stat().st_mtime_ns == before


def test_a_card_never_describes_weights_of_another_plan(
    run: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = run.root.parent
    train_fold(toy_dataset, 0, runs, request())
    model, before = run.model("2d"), (run.model("2d") / MODEL).read_bytes()
    left = model / ".removed-fold_0-1"
    left.mkdir()
    text = run.plan.read_text()
    run.plan.write_text(text.replace("order_label = 1", "order_label = 0"))

    def refused(folder: Path) -> None:
        raise OSError("busy")

    monkeypatch.setattr(runs_module.shutil, "rmtree", lambda path, ignore_errors=False: ignore_errors or refused(path))
    with pytest.raises(OutputError, match="cannot be removed"):
        train_fold(toy_dataset, 0, runs, request(overwrite=True))
    assert (model / MODEL).read_bytes() == before
    assert not (run.fold("2d", 0) / WEIGHTS).is_file()
    monkeypatch.undo()
    train_fold(toy_dataset, 0, runs, request(overwrite=True))
    assert not [path for path in model.iterdir() if path.name.startswith(".removed")]


def test_what_cannot_be_trained_replaces_nothing(
    run: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = run.root.parent
    train_fold(toy_dataset, 0, runs, request())
    monkeypatch.setattr(devices, "device_memory_gb", lambda device: 1e-6)
    with pytest.raises(PlanError, match="is expected to take"):
        train_fold(toy_dataset, 0, runs, request(overwrite=True))
    assert (run.fold("2d", 0) / WEIGHTS).is_file()


def test_the_curves_are_drawn_seldom_where_epochs_are_short_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: None
) -> None:
    now, pictures = [100.0], list[float]()
    monkeypatch.setattr(workflow_train.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("autospine.report.figures.plot_history", lambda history, picture: pictures.append(now[0]))
    draw = workflow_train._drawing(tmp_path)
    draw(None)  # there is nothing to draw
    (tmp_path / "history.csv").write_text("epoch\n0\n")
    epoch = EpochRecord(0, 1, 1.0, 0.1, 1.0, None, ())
    for seconds in (100.0, 104.0, 111.0, 115.0):
        now[0] = seconds
        draw(epoch)
    assert pictures == [100.0, 111.0]
    draw(None)
    draw(None)
    assert pictures == [100.0, 111.0, 115.0]
    # a call that finds all its epochs trained draws what the one before it did not come to
    workflow_train._drawing(tmp_path)(None)
    assert pictures == [100.0, 111.0, 115.0, 115.0]
