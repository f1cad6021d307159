"""Pictures of what was evaluated and of a fold's validation cases: which, on what images, and what is left undrawn."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from autospine.data.geometry import Volume
from autospine.data.structure import Reading, Region
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.score import Scores
from autospine.report.panels import ERRORS, ShownSlice
from autospine.workflow import train as workflow_train
from autospine.workflow.evaluate import evaluate_paths
from autospine.workflow.runs.folder import VALIDATION_PICTURE, RunFolder, withdraw_results
from autospine.workflow.steps import pictures
from autospine.workflow.steps.pictures import Pictures, draw_validation, draw_worst, ranked_cases
from autospine.workflow.train import TrainRequest, train_fold
from tests.workflow.conftest import Noting


@pytest.fixture
def predicted(toy_dataset: Path, tmp_path: Path) -> Path:
    """The masks of the toy cases, of which those with higher numbers lack more slices of class 1."""
    for number, path in enumerate(sorted((toy_dataset / "labelsTr").iterdir())):
        volume = read_volume(path)
        array = volume.array.copy()
        array[:, :, : 4 * number] = np.where(array[:, :, : 4 * number] == 1, 0, array[:, :, : 4 * number])
        write_volume(tmp_path / "out" / path.name, Volume(array, volume.geometry))
    return tmp_path / "out"


def test_the_worst_are_drawn_worst_first(predicted: Path, toy_dataset: Path) -> None:
    noting = Noting()
    (predicted / "pictures").mkdir()
    for name in ("07_toy_01.png", "mine.png", "07_other.png"):
        (predicted / "pictures" / name).touch()
    scores = evaluate_paths(predicted, toy_dataset / "labelsTr", pictures=Pictures(worst=2), progress=noting)
    ranked = ranked_cases(scores)
    assert ranked[0][1] <= ranked[1][1] <= ranked[-1][1] == 1.0
    drawn = sorted(path.name for path in (predicted / "pictures").iterdir())
    # pictures of these cases by an earlier evaluation are gone, what is nobody's that is known stays
    assert drawn == [f"01_{ranked[0][0]}.png", f"02_{ranked[1][0]}.png", "07_other.png", "mine.png", "worst.png"]
    picture = imread(predicted / "pictures" / drawn[0])[..., :3]
    missed = np.array([int(ERRORS[1][1][at : at + 2], 16) for at in (1, 3, 5)]) / 255
    assert (np.abs(picture - missed).max(axis=2) < 0.25).sum() > 200
    assert noting.notes == [f"Pictures: {predicted / 'pictures'}"]


def test_images_are_found_where_a_prediction_says_or_somebody_names_them(
    predicted: Path, toy_dataset: Path, tmp_path: Path
) -> None:
    references = shutil.copytree(toy_dataset / "labelsTr", tmp_path / "masks")
    with pytest.raises(DataError, match="no images to draw on"):
        Pictures().find(predicted, references)
    images = toy_dataset / "imagesTr"
    named = {f"toy_{number:02}": images / f"toy_{number:02}_0000.nii.gz" for number in range(6)}
    assert Pictures(images).find(predicted, references) == named
    assert Pictures(toy_dataset).find(predicted, references) == named
    assert Pictures().find(predicted, toy_dataset / "labelsTr") == {
        name: path.resolve() for name, path in named.items()
    }
    one = {"file": "toy_03.nii.gz", "model": "m", "images": "", "mask": "", "image": str(named["toy_03"])}
    gone = one | {"file": "toy_04.nii.gz", "image": str(tmp_path / "gone.nii.gz")}
    (predicted / "prediction.json").write_text(json.dumps({"cases": {"toy_03": one, "toy_04": gone}}))
    assert Pictures().find(predicted, references) == {"toy_03": named["toy_03"]}


def test_a_case_without_an_image_on_its_grid_is_told(predicted: Path, toy_dataset: Path, tmp_path: Path) -> None:
    references = toy_dataset / "labelsTr"
    scores = evaluate_folders(predicted, references)
    other = toy_dataset / "imagesTr" / "toy_01_0000.nii.gz"
    images = {"toy_00": toy_dataset / "imagesTr" / "toy_00_0000.nii.gz", "toy_02": other}
    noting = Noting()
    folder = draw_worst(scores, predicted, references, images, 10, noting)
    assert sorted(path.name for path in folder.iterdir()) == ["06_toy_00.png", "worst.png"]
    assert len(noting.notes) == 5 and "toy_01 is not drawn: no image of it was found" in noting.notes
    assert any(note.startswith("toy_02 is not drawn") and "not on the grid" in note for note in noting.notes)


def test_one_segmentation_is_drawn_on_one_image(predicted: Path, toy_dataset: Path, tmp_path: Path) -> None:
    result = shutil.copy(predicted / "toy_03.nii.gz", tmp_path / "result.nii.gz")
    image, reference = toy_dataset / "imagesTr" / "toy_03_0000.nii.gz", toy_dataset / "labelsTr" / "toy_03.nii.gz"
    evaluate_paths(Path(result), reference, pictures=Pictures(image), progress=Noting())
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["01_toy_03.png", "worst.png"]


def test_a_training_ends_with_a_picture_of_its_validation_cases(
    run: RunFolder, toy_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_train, "draw_validation", draw_validation)
    folder = train_fold(toy_dataset, 0, run.root.parent, TrainRequest("2d", device="cpu", workers=0)).folder
    assert imread(folder / VALIDATION_PICTURE).shape[0] > 500  # of two cases
    withdraw_results(folder)
    assert not (folder / VALIDATION_PICTURE).exists()


def test_a_fold_whose_images_cannot_be_read_has_no_picture(run: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    copy, noting, card = shutil.copytree(toy_dataset, tmp_path / "toy"), Noting(), run.read_plan().card("2d")
    folder = tmp_path / "fold_0"
    (folder / "validation").mkdir(parents=True)
    for name in ("toy_00", "toy_03"):
        shutil.copy(toy_dataset / "labelsTr" / f"{name}.nii.gz", folder / "validation")
    scores = evaluate_folders(folder / "validation", toy_dataset / "labelsTr", only=("toy_00", "toy_03"))
    draw_validation(copy, Reading(), folder, card, scores, noting)
    assert (folder / VALIDATION_PICTURE).is_file() and not noting.notes
    (folder / VALIDATION_PICTURE).unlink()
    (copy / "imagesTr" / "toy_03_0000.nii.gz").write_bytes(b"nothing")
    draw_validation(copy, Reading(), folder, card, scores, noting)
    draw_validation(tmp_path / "nowhere", Reading(), folder, card, scores, noting)
    draw_validation(copy, Reading(), folder, card, Scores((), ()), noting)
    assert not (folder / VALIDATION_PICTURE).exists()
    assert len(noting.notes) == 1 and noting.notes[0].startswith("validation.png is not drawn: ")


def test_regions_of_validation_cases_are_drawn_as_a_prediction_writes_them(
    run: RunFolder, toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both structures are one region, written as the second: of a prediction without a fault nothing is wrong."""
    plain = run.read_plan().card("2d")
    data = replace(plain.data, regions=(Region("both", (1, 3), 3),), sides=(), levels=None)
    card: Any = SimpleNamespace(data=data, configuration=plain.configuration)
    mask = read_volume(toy_dataset / "labelsTr" / "toy_00.nii.gz")
    folder, rows = tmp_path / "fold_0", list[ShownSlice]()
    write_volume(folder / "validation" / "toy_00.nii.gz", Volume(np.where(mask.array > 0, 3, 0), mask.geometry))
    scores = evaluate_folders(folder / "validation", toy_dataset / "labelsTr", only=("toy_00",))
    monkeypatch.setattr(pictures, "write_case_sheet", lambda path, shown, *more: rows.extend(shown))
    draw_validation(toy_dataset, Reading(), folder, card, scores, Noting())
    (row,) = rows
    assert row.said.endswith("0 voxels wrong") and set(np.unique(row.reference)) == {0, 2}


def test_a_sheet_of_an_earlier_evaluation_goes(predicted: Path, toy_dataset: Path) -> None:
    references = toy_dataset / "labelsTr"
    scores = evaluate_folders(predicted, references)
    folder = predicted / "pictures"
    folder.mkdir()
    (folder / "worst.png").touch()
    draw_worst(scores, predicted, references, {}, 10, Noting())
    assert not (folder / "worst.png").exists()
