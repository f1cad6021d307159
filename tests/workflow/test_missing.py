"""A training on cases of which some lack a sequence, and predictions of every subset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.folds import read_folds
from autospine.data.structure import Reading
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError, PlanError
from autospine.inference.predictor import Predictor, Prepared
from autospine.preprocessing.store import Store
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.train import TrainRequest, train_folds
from tests.workflow.conftest import Noting
from tests.workflow.several import MISSING, NAMES, several

__all__ = ["several"]


def test_cases_that_lack_sequences_from_end_to_end(several: Path, toy_recipe: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    planned = plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    configuration = planned.plan.configuration()
    assert planned.plan.data.optional == (1, 2) and configuration.network.in_channels == 5
    (trained,) = train_folds(several, "0", runs, TrainRequest(device="cpu", workers=0))
    assert trained.metrics is not None
    store = Store(runs / "several" / "prepared" / configuration.name)
    for number in range(6):
        case = store.open(f"case_{number}")
        assert case.properties.missing == tuple(NAMES.index(name) for name in [MISSING.get(number)] if name)
        assert [bool(channel.any()) for channel in case.image] == [MISSING.get(number) != name for name in NAMES]

    # all, either and neither of the two that may be missing
    images = tmp_path / "new"
    for name, held in {"all": (0, 1, 2), "no_t1": (0, 2), "no_stir": (0, 1), "t2": (0,)}.items():
        for index in held:
            volume = read_volume(several / f"0_{NAMES[index]}.nii.gz")
            write_volume(images / f"{name}_{index:04d}.nii.gz", volume)
    progress = Noting()
    made = predict_paths(images, tmp_path / "out", runs, PredictRequest(device="cpu"), progress=progress)
    assert [path.name for path in made.files] == ["all.nii.gz", "no_stir.nii.gz", "no_t1.nii.gz", "t2.nii.gz"]
    assert [note for note in progress.notes if "without" in note] == [
        "no_stir is segmented without STIR",
        "no_t1 is segmented without T1",
        "t2 is segmented without T1, STIR",
    ]
    again = predict_paths(images, tmp_path / "out", runs, PredictRequest(device="cpu"))
    assert not again.seconds  # known as done, with what they lack
    (images / "t2_0000.nii.gz").rename(images / "t2_0002.nii.gz")
    with pytest.raises(DataError, match=r"t2: 1 channel[\s\S]*T2, T1, STIR\), of which T1, STIR may be missing"):
        predict_paths(images, tmp_path / "elsewhere", runs, PredictRequest(device="cpu")).complete()


def test_what_a_case_lacks_is_told_where_it_is_validated(
    several: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    planned = plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    folds = read_folds(planned.folder.splits)
    number = next(number for number, fold in enumerate(folds) if "case_2" in fold.validation)
    told: list[object] = []

    real = Predictor.labels

    def listened(self: Predictor, case: Prepared, *more: Any) -> np.ndarray:
        told.append(case.properties.missing)
        return real(self, case, *more)

    monkeypatch.setattr(Predictor, "labels", listened)
    list(train_folds(several, str(number), runs, TrainRequest(device="cpu", workers=0)))
    store = Store(runs / "several" / "prepared" / planned.plan.default)
    expected = [store.open(name).properties.missing for name in folds[number].validation]
    # and once more where they are predicted the fast way
    assert told[: len(expected)] == expected and set(told) == set(expected) and (1,) in told


def test_a_fold_without_a_sequence_says_so(several: Path, toy_recipe: Path, tmp_path: Path) -> None:
    """STIR in one case alone: the fold that validates it trains without."""
    table = several / "manifest.csv"
    rows = [line.split(",") for line in table.read_text().splitlines()]
    for row in rows[1:]:
        row[3] = row[3] if row[0] == "case_0" else ""
    table.write_text("\n".join(map(",".join, rows)))
    runs, progress = tmp_path / "runs", Noting()
    planned = plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    folds = read_folds(planned.folder.splits)
    for number in (0, 1):
        progress.notes.clear()
        list(train_folds(several, str(number), runs, TrainRequest(device="cpu", workers=0), progress=progress))
        lacking = "case_0" in folds[number].validation
        said = f"No training case of fold {number} has STIR: its network will not know what that shows"
        training = f"Training {planned.plan.default}, fold {number}, on CPU, "
        assert [note for note in progress.notes if "STIR" in note] == ([said] if lacking else [])
        begun = [note for note in progress.notes if note.startswith("Training ")]
        assert len(begun) == 1 and begun[0].startswith(training)
        assert (said in planned.notes) == lacking
        # the plan has timed a step on this device, and a training is held against it
        assert sum("seconds a step: " in note for note in progress.notes) == 1


def test_an_image_in_another_column_is_another_data_set(several: Path, toy_recipe: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    table = several / "manifest.csv"
    table.write_text(table.read_text().replace("5_T2.nii.gz,5_T1.nii.gz,,", "5_T2.nii.gz,,5_T1.nii.gz,"))
    with pytest.raises(PlanError, match="state of the data"):
        plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    with pytest.raises(PlanError, match="another --allow-missing"):
        leave = Reading(allow_missing=True)
        plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu", reading=leave))


def test_a_standing_plan_keeps_how_its_data_were_read(several: Path, toy_recipe: Path, tmp_path: Path) -> None:
    """A file that is named and absent is missing with leave alone, and that leave is the plan's."""
    runs = tmp_path / "runs"
    (several / "3_T1.nii.gz").unlink()
    with pytest.raises(DataError, match="--allow-missing"):
        plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    leave = Reading(allow_missing=True)
    planned = plan_dataset(several, runs, PlanRequest(recipe=str(toy_recipe), device="cpu", reading=leave))
    assert planned.folder.read_reading() == leave
    (trained,) = train_folds(several, "0", runs, TrainRequest(device="cpu", workers=0))
    assert trained.metrics is not None
    request = planned.folder.request
    request.write_text(request.read_text().replace('"allow_missing": true', '"allow_missing": false'))
    with pytest.raises(PlanError, match=r"without --allow-missing[\s\S]*leave --allow-missing out"):
        list(train_folds(several, "0", runs, TrainRequest(device="cpu", reading=leave)))
    request.write_text(request.read_text().replace('"allow_missing": false', '"allow_missing": "yes"'))
    with pytest.raises(PlanError, match="allow_missing is 'yes'"):
        planned.folder.read_reading()
