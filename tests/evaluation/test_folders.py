"""Scores of folders of mask files, and of two files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.evaluation.folders import evaluate_folders
from tests.evaluation.counted import SPACING, mask

TILT = np.cos(0.1), np.sin(0.1)
GEOMETRY = Geometry(
    shape=(2, 3, 4),
    spacing_mm=SPACING,
    origin_mm=(1.0, -2.0, 3.0),
    direction=(TILT[0], -TILT[1], 0.0, TILT[1], TILT[0], 0.0, 0.0, 0.0, 1.0),
    dimension=3,
)


def write(folder: Path, name: str, array: np.ndarray, geometry: Geometry = GEOMETRY) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_volume(folder / name, Volume(array[None], geometry, ()))
    return folder / name


def test_folders_are_paired_by_name_and_the_references_decide(tmp_path: Path) -> None:
    write(tmp_path / "labelsTr", "a.nii.gz", mask(L1=4, L2=3))
    write(tmp_path / "labelsTr", "b.nii.gz", mask(L2=2))
    write(tmp_path / "pred", "a.mha", mask(L1=2, L2=3))
    write(tmp_path / "pred", "b.nii.gz", mask(L2=2))
    write(tmp_path / "pred", "unasked.nii.gz", mask())
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr")
    assert scores.classes == ("label_4", "label_5")
    assert [case.case for case in scores.cases] == ["a", "b"]
    assert scores.class_mean("label_5") == pytest.approx(2 / 3)
    (tmp_path / "labels.json").write_text('{"L1": 5}')
    assert evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr").mean() == pytest.approx(2 / 3)


@pytest.mark.parametrize("labels", [{"background": 0, "L2": 4, "L1": 5}, {"0": "background", "5": "L1", "4": "L2"}])
def test_names_come_from_the_dataset_file(tmp_path: Path, labels: dict[str, object]) -> None:
    write(tmp_path / "labelsTr", "a.nii.gz", mask(L1=4))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}))
    scores = evaluate_folders(tmp_path / "labelsTr", tmp_path / "labelsTr")
    assert scores.classes == ("L2", "L1")
    assert scores.mean() == 1.0


def test_regions_are_scored_whole(tmp_path: Path) -> None:
    """Class 4 called 5 is right within the region of both, wrong within that of 5 alone."""
    reference = mask(L1=4)
    reference[0, 0, 2:] = 4
    write(tmp_path / "labelsTr", "a.nii.gz", reference)
    write(tmp_path / "pred", "a.nii.gz", mask(L1=4))
    content = {"labels": {"background": 0, "both": [4, 5], "L1": 5}, "regions_class_order": [4, 5]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr")
    assert scores.classes == ("both", "L1")
    assert scores.class_mean("both") == 1.0
    assert scores.class_mean("L1") == pytest.approx(2 / 3)
    (tmp_path / "dataset.json").write_text(json.dumps({**content, "regions_class_order": [4]}))
    with pytest.raises(DataError, match="regions_class_order"):
        evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": content["labels"]}))
    with pytest.raises(DataError, match="regions_class_order"):
        evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr")
    # lists that are no regions, such as colours, describe something else
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "labels.json").write_text('{"L1": [255, 0, 0]}')
    assert evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr").classes == ("label_4", "label_5")


def test_two_files_are_a_pair(tmp_path: Path) -> None:
    prediction = write(tmp_path, "out.nii.gz", mask(L1=2))
    reference = write(tmp_path, "truth.mha", mask(L1=4))
    assert evaluate_folders(prediction, reference).mean() == pytest.approx(2 / 3)


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    for name in ("missing", "moved", "cut", "good"):
        write(tmp_path / "ref", f"{name}.nii.gz", mask(L1=2))
    write(tmp_path / "pred", "good.nii.gz", mask(L1=2))
    write(tmp_path / "pred", "moved.nii.gz", mask(L1=2), replace(GEOMETRY, origin_mm=(9.0, -2.0, 3.0)))
    cut = write(tmp_path / "pred", "cut.nii.gz", mask(L1=2))
    cut.write_bytes(cut.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    message = str(caught.value)
    assert "3 problem(s)" in message
    assert all(word in message for word in ("missing: no prediction", "moved.nii.gz", "cut.nii.gz"))
    assert "good" not in message


def test_a_name_that_stands_for_two_predictions_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "ref", "a.nii.gz", mask(L1=2))
    for name in ("a.mha", "a.nrrd"):
        write(tmp_path / "pred", name, mask(L1=2))
    with pytest.raises(DataError, match="several predictions"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")


def test_folders_that_are_empty_or_absent_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no mask files"):
        evaluate_folders(tmp_path / "empty", tmp_path / "empty")
    with pytest.raises(DataError, match="does not exist"):
        evaluate_folders(tmp_path / "empty", tmp_path / "nowhere")


def test_voxels_that_are_not_annotated_count_for_nothing(tmp_path: Path) -> None:
    reference, prediction = np.zeros((2, 3, 4), np.uint8), np.zeros((2, 3, 4), np.uint8)
    reference[0, 0], reference[0, 1], reference[1] = 5, 4, 9
    prediction[0, 0], prediction[0, 1], prediction[1] = 5, 4, 5
    for name, array in (("ref", reference), ("pred", prediction)):
        write_volume(tmp_path / name / "a.nii.gz", Volume(array[None], GEOMETRY))
    (tmp_path / "labels.json").write_text('{"L1": 5, "L2": 4, "ignore": 9, "sides": {"L1": "L2"}}')
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert scores.classes == ("L2", "L1") and scores.mean() == 1.0
    (tmp_path / "labels.json").write_text('{"L1": 5, "L2": 4}')
    assert evaluate_folders(tmp_path / "pred", tmp_path / "ref").mean() < 1.0


def test_slices_in_files_of_their_own_are_scored_by_case(tmp_path: Path) -> None:
    """1 of 2 and 6 of 6 pixels of p01: 14 / 15 together; p02 is right."""
    flat = Geometry((1, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), dimension=2)
    counts = {"p01_slice_1": (1, 2), "p01_slice_2": (6, 6), "p02_slice_1": (3, 3), "p02_slice_2": (0, 0)}
    for name, pair in counts.items():
        for folder, count in zip(("pred", "labelsTr"), pair, strict=True):
            array = np.zeros((1, 3, 4), np.uint8)
            array.flat[:count] = 1
            write(tmp_path / folder, f"{name}.png", array, flat)
    content = evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr").to_json()
    assert content["intervals"]["subjects"] == 2
    first, second = content["subjects"]["subjects"]
    assert first["slices"] == ["p01_slice_1", "p01_slice_2"]
    assert first["classes"]["label_1"]["dice"] == pytest.approx(14 / 15)
    assert second["classes"]["label_1"]["dice"] == 1.0
    table = tmp_path / "who.csv"
    table.write_text("case,subject\n" + "".join(f"{name},{name[-1]}\n" for name in counts))
    content = evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr", subjects=str(table)).to_json()
    assert content["subjects"]["subjects"][1]["slices"] == ["p01_slice_2", "p02_slice_2"]
    with pytest.raises(DataError, match="does not match subjects"):
        evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr", subjects="x")


def test_cases_stay_in_their_order_and_each_is_told_once(tmp_path: Path) -> None:
    names = [f"c{number:02}" for number in range(12)]
    for number, name in enumerate(names):
        write(tmp_path / "ref", f"{name}.nii.gz", mask(L1=number, L2=12 - number))
        write(tmp_path / "pred", f"{name}.nii.gz", mask(L1=number // 2, L2=12 - number))
    (tmp_path / "labels.json").write_text('{"L1": 5, "L2": 4}')
    told: list[tuple[str, int, int]] = []
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref", progress=lambda *said: told.append(said))
    assert [case.case for case in scores.cases] == names == sorted(name for name, _, _ in told)
    assert [said[1:] for said in told] == [(number, 12) for number in range(1, 13)]
    assert [case.metrics[1].reference_voxels for case in scores.cases] == list(range(12))
