"""Scores of masks whose values have to be understood first: rounding, foreign values, structures by their names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import DataError
from autospine.evaluation.folders import evaluate_folders, open_pairs, predicted_cases
from tests.data.slicer_files import write_slicer

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def drawn() -> np.ndarray:
    """8 voxels of 1, 2 voxels of 2."""
    labels = np.zeros(GRID.shape, np.uint8)
    labels[1, 1:3, 0:4], labels[2, 2, 3:5] = 1, 2
    return labels


def write(path: Path, array: np.ndarray) -> Path:
    write_volume(path, Volume(array[None], GRID))
    return path


def test_values_within_rounding_are_scored_as_whole_and_told(tmp_path: Path) -> None:
    write(tmp_path / "ref" / "a.nii.gz", drawn() * np.float32(0.99998))
    write(tmp_path / "pred" / "a.nii.gz", drawn())
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert scores.classes == ("label_1", "label_2") and scores.mean() == 1.0
    assert scores.notes == ("values within rounding of whole numbers, taken for these, in ref/a.nii.gz",)
    assert scores.to_json()["notes"] == list(scores.notes)
    assert evaluate_folders(tmp_path / "pred", tmp_path / "pred").notes == ()


@pytest.mark.parametrize("side", ["pred", "ref"])
@pytest.mark.parametrize(
    ("array", "found"),
    [
        (drawn() * np.float32(0.5), r"values that are no labels: 0\.5 \(8 voxels\)"),
        (drawn().astype(np.int16) - 1, r"values that are no labels: -1 \(50 voxels\)"),
    ],
)
def test_values_that_are_no_labels_are_refused_on_either_side(
    tmp_path: Path, side: str, array: np.ndarray, found: str
) -> None:
    for name in ("pred", "ref"):
        write(tmp_path / name / "a.nii.gz", array if name == side else drawn())
    with pytest.raises(DataError, match=rf"{side}/a\.nii\.gz: {found}"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")


@pytest.mark.parametrize("described", [False, True])
def test_a_class_that_is_none_counts_as_background_and_is_told(tmp_path: Path, described: bool) -> None:
    write(tmp_path / "ref" / "a.nii.gz", drawn())
    write(tmp_path / "pred" / "a.nii.gz", np.where(drawn() == 2, 7, drawn()).astype(np.uint8))
    if described:
        (tmp_path / "labels.json").write_text('{"L5": 1, "L4": 2}')
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    names = ("L5 = 1", "L4 = 2") if described else ("label_1 = 1", "label_2 = 2")
    told = "values in the predictions that are no class, counted as background: 7 (in a.nii.gz)"
    assert scores.notes == (f"{told} (classes: {', '.join(names)})",)
    assert scores.mean() == 0.5


def test_references_with_values_that_are_not_declared_are_told(tmp_path: Path) -> None:
    write(tmp_path / "ref" / "a.nii.gz", drawn())
    (tmp_path / "labels.json").write_text('{"L5": 1, "ignore": 9}')
    scores = evaluate_folders(tmp_path / "ref", tmp_path / "ref")
    assert scores.classes == ("L5",) and scores.mean() == 1.0
    assert [note.split(" that")[0] for note in scores.notes] == [
        "values in the predictions",
        "values in the references",
    ]


def test_predictions_on_another_scale_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "ref" / f"{name}.nii.gz", drawn())
        write(tmp_path / "pred" / f"{name}.nii.gz", drawn() * 10)
    found = r"no class: 10 \(in a\.nii\.gz, b\.nii\.gz\), 20 \(in a\.nii\.gz, b\.nii\.gz\)"
    with pytest.raises(DataError, match=found) as raised:
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert raised.value.expected == "label_1 = 1, label_2 = 2"
    # empty predictions are bad ones, not another scale
    for name in "ab":
        write(tmp_path / "pred" / f"{name}.nii.gz", drawn() * 0)
    assert evaluate_folders(tmp_path / "pred", tmp_path / "ref").mean() == 0.0


def test_references_without_any_label_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "ref" / "a.nii.gz", drawn() * 0)
    write(tmp_path / "pred" / "a.nii.gz", drawn())
    with pytest.raises(DataError, match="no reference holds a label above 0"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")


def slicer(path: Path, order: tuple[str, str], values: tuple[int, int], low: int = 0) -> Path:
    """L5 is the structure of 8 voxels, L4 that of 2; the file starts at slice `low`."""
    table = np.zeros(3, np.uint8)
    table[[{"L5": 1, "L4": 2}[name] for name in order]] = values
    grid = Geometry((3 - low, 4, 5), GRID.spacing_mm, (-12.5, 30.0, 7.25 + 4.0 * low), GRID.direction)
    return write_slicer(
        path, table[drawn()][None, low:], grid, [(one, 0, at) for one, at in zip(order, values, strict=True)]
    )


def test_segmentations_of_slicer_are_compared_by_name_and_place(tmp_path: Path) -> None:
    slicer(tmp_path / "ref" / "a.seg.nrrd", ("L5", "L4"), (1, 2), low=1)
    slicer(tmp_path / "ref" / "b.seg.nrrd", ("L4", "L5"), (1, 2))
    slicer(tmp_path / "pred" / "a.seg.nrrd", ("L4", "L5"), (5, 9))
    slicer(tmp_path / "pred" / "b.seg.nrrd", ("L5", "L4"), (5, 9), low=1)
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert scores.classes == ("L5", "L4") and scores.mean() == 1.0 and scores.notes == ()
    assert [case.metrics[0].reference_voxels for case in scores.cases] == [8, 8]


def test_values_against_names_need_a_description(tmp_path: Path) -> None:
    slicer(tmp_path / "ref" / "a.seg.nrrd", ("L4", "L5"), (1, 2), low=1)
    write(tmp_path / "pred" / "a.nii.gz", drawn())
    for prediction, reference in (("pred", "ref"), ("ref", "pred")):
        with pytest.raises(DataError, match=r"labels\.json beside the references"):
            evaluate_folders(tmp_path / prediction, tmp_path / reference)
    (tmp_path / "labels.json").write_text(json.dumps({"L5": 1, "L4": 2}))
    for prediction, reference in (("pred", "ref"), ("ref", "pred")):
        scores = evaluate_folders(tmp_path / prediction, tmp_path / reference)
        assert scores.classes == ("L5", "L4") and scores.mean() == 1.0
    write_slicer(tmp_path / "ref" / "a.seg.nrrd", drawn()[None], GRID, [("L5", 0, 1), ("S1", 0, 2)])
    with pytest.raises(DataError, match="structures called 'S1'"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")


def test_folders_of_structures_are_scored_by_case(tmp_path: Path) -> None:
    for case in ("s0001", "s0002"):
        home = tmp_path / "data" / case
        write(home / "mri.nii.gz", drawn())
        for value, name in enumerate(("sacrum", "vertebrae_L5", "liver"), 1):
            write(home / "segmentations" / f"{name}.nii.gz", (drawn() == value).astype(np.uint8))
        write(tmp_path / "pred" / f"{case}.nii.gz", drawn() * 3)
    with pytest.raises(DataError, match=r"labels\.json beside the references"):
        evaluate_folders(tmp_path / "pred", tmp_path / "data")
    (tmp_path / "data" / "labels.json").write_text('{"sacrum": 3, "vertebrae_L5": 6}')
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "data")
    assert [case.case for case in scores.cases] == ["s0001", "s0002"]
    assert scores.classes == ("sacrum", "vertebrae_L5") and scores.mean() == 1.0 and scores.notes == ()
    assert evaluate_folders(tmp_path / "data", tmp_path / "data").mean() == 1.0


def test_a_link_to_nothing_is_no_case_fewer(tmp_path: Path) -> None:
    write(tmp_path / "ref" / "a.nii.gz", drawn())
    (tmp_path / "ref" / "b.nii.gz").symlink_to(tmp_path / ".git" / "annex" / "objects" / "b.nii.gz")
    for name in "ab":
        write(tmp_path / "pred" / f"{name}.nii.gz", drawn())
    with pytest.raises(DataError, match=r"ref/b\.nii\.gz: no such file: a link to .*annex/objects/b\.nii\.gz"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")


def test_a_cropped_reference_outside_of_its_prediction_is_refused(tmp_path: Path) -> None:
    slicer(tmp_path / "ref" / "a.seg.nrrd", ("L5", "L4"), (1, 2), low=1)
    (tmp_path / "labels.json").write_text(json.dumps({"L5": 1, "L4": 2}))
    write_volume(tmp_path / "pred" / "a.nii.gz", Volume(drawn()[None, :2], Geometry((2, 4, 5), *_rest(GRID))))
    with pytest.raises(DataError, match=r"a\.seg\.nrrd: 2 voxels outside of a\.nii\.gz"):
        evaluate_folders(tmp_path / "pred", tmp_path / "ref")


def _rest(grid: Geometry) -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, ...]]:
    return grid.spacing_mm, grid.origin_mm, grid.direction


def test_dicom_among_the_masks_is_told(tmp_path: Path) -> None:
    for folder in ("pred", "ref"):
        write(tmp_path / folder / "a.nii.gz", drawn())
    assert not evaluate_folders(tmp_path / "pred", tmp_path / "ref").notes
    (tmp_path / "ref" / "b.dcm").write_bytes(bytes(128) + b"DICM")
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref")
    assert scores.notes == (f"DICOM files, left aside: {tmp_path / 'ref'}",)


def test_pairs_are_laid_on_the_grid_of_the_whole_one(tmp_path: Path) -> None:
    """The reference is cut to its last two slices; names decide, and what is not annotated is no class."""
    slicer(tmp_path / "ref" / "a.seg.nrrd", ("L4", "L5"), (5, 9), low=1)
    (tmp_path / "labels.json").write_text(json.dumps({"L5": 1, "L4": 2, "ignore": 7}))
    write(tmp_path / "pred" / "a.nii.gz", drawn())
    write(tmp_path / "pred" / "b.nii.gz", drawn())
    masks = open_pairs(tmp_path / "pred", tmp_path / "ref", ("a",))
    assert masks.drawn == (("L5", 1), ("L4", 2)) and masks.ignored == 7
    ((case, grid, predicted, expected),) = masks.laid()
    assert (case, grid) == ("a", GRID)
    assert (predicted == drawn()).all() and (expected == drawn()).all()


def test_what_is_drawn_of_regions_are_their_classes(tmp_path: Path) -> None:
    for name in ("ref", "pred"):
        write(tmp_path / name / "a.nii.gz", drawn())
    assert open_pairs(tmp_path / "pred", tmp_path / "ref", ("a",)).drawn == (("label_1", 1), ("label_2", 2))
    content = {"labels": {"background": 0, "both": [1, 2], "L4": 2}, "regions_class_order": [1, 2]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert open_pairs(tmp_path / "pred", tmp_path / "ref", ("a",)).drawn == (("label_1", 1), ("L4", 2))


def test_some_cases_of_several_folders_are_scored(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "ref" / f"{name}.nii.gz", drawn())
    write(tmp_path / "pred" / "one" / "a.nii.gz", drawn())
    write(tmp_path / "pred" / "two" / "b.nii.gz", np.zeros_like(drawn()))
    parts = (tmp_path / "pred" / "one", tmp_path / "pred" / "two")
    assert predicted_cases(tmp_path / "pred", tmp_path / "ref", parts) == (("a", "b"), ("c",))
    scores = evaluate_folders(tmp_path / "pred", tmp_path / "ref", only=("a", "b"), parts=parts)
    assert [(case.case, scores.case_mean(case)) for case in scores.cases] == [("a", 1.0), ("b", 0.0)]
