"""Training reads its loss from the plan alone; what a fold does not see is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from autospine.data.disk.files import read_json, write_json
from autospine.data.folds import read_folds
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import PlanError
from autospine.planning.document.parts import LossPlan
from autospine.training import epochs
from autospine.training.progress import FitResult
from autospine.training.task import Task
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.runs.folder import RunFolder, read_record
from autospine.workflow.train import TrainRequest, train_fold, train_folds
from tests.workflow.conftest import Noting

GRID = Geometry((6, 20, 18), (3.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
QUICK = TrainRequest(device="cpu", workers=0)


@pytest.fixture(autouse=True)
def _steady(steady: None) -> None:
    """Nothing here depends on how fast the machine is."""


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    """Five cases with a large class of 10 x 8 pixels and a small one of 2 x 2, of 4 x 4 in the first case.

    Only the last case holds the third class.
    """
    root = tmp_path / "uneven"
    for number in range(5):
        mask = np.zeros((1, *GRID.shape), np.uint8)
        mask[0, 1:5, 2:12, 3:11] = 1
        edge = 4 if number == 0 else 2
        mask[0, 1:5, 14 : 14 + edge, 4 : 4 + edge] = 2
        if number == 4:
            mask[0, 1:5, 14:16, 12:14] = 3
        image = np.random.default_rng(number).normal(100, 5, (1, *GRID.shape)) + 40.0 * mask
        write_volume(root / "imagesTr" / f"case_{number}_0000.nii.gz", Volume(image.astype(np.float32), GRID))
        write_volume(root / "labelsTr" / f"case_{number}.nii.gz", Volume(mask, GRID))
    labels = {"background": 0, "large": 1, "small": 2, "rare": 3}
    form = {"channel_names": {"0": "T2"}, "labels": labels, "numTraining": 5, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(form))
    return root


@pytest.fixture
def adaptive(tmp_path: Path, toy_recipe: Path) -> PlanRequest:
    recipe = tmp_path / "adaptive.toml"
    text = 'configurations = ["2d"]\nloss = "dice_size_adaptive_ce"\nweight_cap = 20.0\n'
    recipe.write_text(toy_recipe.read_text() + text)
    return PlanRequest(recipe=str(recipe), device="cpu")


@pytest.fixture
def trained_by(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LossPlan]]:
    """The losses that trainings were given, one after another."""
    given: list[LossPlan] = []
    fit = epochs.fit

    def listen(task: Task, *words: object) -> FitResult:
        given.append(task.card.configuration.loss)
        return fit(task, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(epochs, "fit", listen)
    yield given


def validated(run: RunFolder, case: str) -> int:
    """The fold that validates this case."""
    return next(number for number, fold in enumerate(read_folds(run.splits)) if case in fold.validation)


def test_a_fold_is_trained_by_the_plan_whether_the_fingerprint_is_there(
    uneven: Path, adaptive: PlanRequest, tmp_path: Path, trained_by: list[LossPlan]
) -> None:
    runs, copy = tmp_path / "runs", tmp_path / "copy"
    run = plan_dataset(uneven, runs, adaptive).folder
    fold = validated(run, "case_1")
    train_fold(uneven, fold, runs, QUICK)
    shutil.copytree(runs, copy)
    (copy / "uneven" / "fingerprint.json").unlink()
    shutil.rmtree(copy / "uneven" / "2d")
    progress = Noting()
    train_fold(Path("elsewhere/uneven"), fold, copy, QUICK, progress=progress)
    # 80 pixels over the median of 16, 4 and 4, and over 4
    assert [loss.class_weights for loss in trained_by] == [pytest.approx((1, 1, 20**0.5, 20**0.5))] * 2
    folders = [place / "uneven" / "2d" / f"fold_{fold}" for place in (runs, copy)]
    assert len({str((read_record(folder) or {})["identity"]) for folder in folders}) == 1
    assert [note for note in progress.notes if "fingerprint.json is not there" in note] == [
        f"{copy / 'uneven' / 'fingerprint.json'} is not there: whether a person or an image stands on both sides of "
        f"fold {fold} cannot be checked"
    ]


def test_weights_edited_by_hand_train_every_fold(
    uneven: Path, adaptive: PlanRequest, tmp_path: Path, trained_by: list[LossPlan]
) -> None:
    runs = tmp_path / "runs"
    run = plan_dataset(uneven, runs, adaptive).folder
    lines = run.plan.read_text().splitlines()
    edited = ["class_weights = [1, 1.0, 2.27, 1.5]" if line.startswith("class_weights") else line for line in lines]
    run.plan.write_text("\n".join(edited))
    list(train_folds(uneven, "0", runs, QUICK))
    notes = plan_dataset(uneven, runs, adaptive).notes
    assert any("2d: the weights in its loss were edited" in note for note in notes)
    list(train_folds(uneven, "1", runs, QUICK))
    assert [loss.class_weights for loss in trained_by] == [(1.0, 1.0, 2.27, 1.5)] * 2


def test_edited_folds_are_renewed_by_plan_and_not_trained_before(
    uneven: Path, adaptive: PlanRequest, tmp_path: Path, trained_by: list[LossPlan]
) -> None:
    runs = tmp_path / "runs"
    run = plan_dataset(uneven, runs, adaptive).folder
    assert not any("loss" in note for note in plan_dataset(uneven, runs, adaptive).notes)
    own = [{"train": ["case_0", "case_4"], "val": ["case_1", "case_2", "case_3"]}, read_json(run.splits)[1]]
    write_json(run.splits, own)
    with pytest.raises(PlanError, match="fold 0 trains on other cases") as fault:
        list(train_folds(uneven, "all", runs, QUICK))
    assert f"`autospine plan {uneven} --recipe {adaptive.recipe} --device cpu --runs {runs}`" in fault.value.remedy
    assert not trained_by
    before = run.plan.read_text()
    notes = plan_dataset(uneven, runs, adaptive).notes
    assert "2d: the loss of fold(s) 0 was worked out for the folds as they stand" in notes
    changed = set(run.plan.read_text().splitlines()) ^ set(before.splitlines())
    assert {line.split(" = ")[0] for line in changed} == {"cases", "weights"}
    list(train_folds(uneven, "0", runs, QUICK))
    # 80 over the median of 16 and 4, and over 4
    assert trained_by[0].class_weights == pytest.approx((1, 1, 8**0.5, 20**0.5))
    assert not any("loss" in note for note in plan_dataset(uneven, runs, adaptive).notes)


def test_a_loss_that_needs_no_cases_trains_edited_folds(
    uneven: Path, toy_recipe: Path, tmp_path: Path, trained_by: list[LossPlan]
) -> None:
    runs = tmp_path / "runs"
    run = plan_dataset(uneven, runs, PlanRequest(str(toy_recipe), device="cpu")).folder
    write_json(run.splits, [{"train": ["case_0", "case_4"], "val": ["case_1"]}])
    train_fold(uneven, 0, runs, TrainRequest("2d", device="cpu", workers=0))
    assert trained_by[0].class_weights == (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize("fingerprint", [True, False])
def test_a_class_that_no_training_case_holds_is_told_with_the_fold(
    uneven: Path, toy_recipe: Path, tmp_path: Path, fingerprint: bool
) -> None:
    runs, progress = tmp_path / "runs", Noting()
    planned = plan_dataset(uneven, runs, PlanRequest(str(toy_recipe), device="cpu"))
    run, lacking = planned.folder, validated(planned.folder, "case_4")
    said = f"No training case of fold {lacking} holds rare: its network cannot learn to find it"
    assert [note for note in planned.notes if "No training case" in note] == [said]
    standing = plan_dataset(uneven, runs, PlanRequest(str(toy_recipe), device="cpu"))
    assert said in standing.notes
    if not fingerprint:
        run.fingerprint.unlink()
    for fold in (lacking, validated(run, "case_0")):
        progress.notes.clear()
        train_fold(uneven, fold, runs, TrainRequest("2d", device="cpu", workers=0), progress=progress)
        told = [note for note in progress.notes if "No training case" in note]
        assert told == ([said] if fold == lacking else [])
        # what was told before is not taken for the device
        begun = [note for note in progress.notes if note.startswith("Training ")]
        assert len(begun) == 1 and begun[0].startswith(f"Training 2d, fold {fold}, on CPU, ")


def test_a_standing_plan_without_its_fingerprint_is_shown_but_not_renewed(
    uneven: Path, adaptive: PlanRequest, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    run = plan_dataset(uneven, runs, adaptive).folder
    run.fingerprint.unlink()
    (said, _) = plan_dataset(uneven, runs, adaptive).notes
    assert said == f"{run.fingerprint} is not there: what some fold does not see is not known"
    run.plan.write_text(run.plan.read_text().replace("\nalpha = 0.5\n", "\nalpha = 0.7\n"))
    with pytest.raises(PlanError, match="cannot be worked out without it"):
        plan_dataset(uneven, runs, adaptive)
