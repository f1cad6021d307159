"""Pictures of cases: the slices and the part of the image that tell most, and what is wrong in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autospine.errors import OutputError
from autospine.report.cases import CaseImage, _legend, case_row, telling_slices, write_case_picture, write_case_sheet
from autospine.report.panels import ERRORS

LABELS = (("L5", 1), ("L4", 2))


def masks(slices: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """(Z, Y, X) masks of a block through slices 4 to 19 of the last axis, widest in slice 10; both the same."""
    mask = np.zeros((12, 16, slices), np.uint8)
    mask[4:8, 4:10, 4:20] = 1
    mask[4:8, 4:12, 10] = 1
    return mask, mask.copy()


def test_slices_with_most_error_that_lie_apart_and_the_one_with_most_structure() -> None:
    reference, prediction = masks()
    prediction[4:8, 4:8, 16] = 0  # 16 voxels
    prediction[4:8, 4:7, 17] = 0  # 12, but beside the former
    prediction[4:8, 4:6, 6] = 0  # 8
    assert telling_slices(reference, prediction, 2, 3) == [6, 10, 16]
    assert telling_slices(reference, prediction, 2, 1) == [16]


def test_the_worst_slice_is_shown_where_most_of_the_structure_is_beside_it() -> None:
    reference, prediction = masks()
    prediction[4:8, 4:8, 11] = 0
    assert telling_slices(reference, prediction, 2, 3) == [11]


def test_where_nothing_is_wrong_slices_are_spread() -> None:
    reference, prediction = masks()
    assert telling_slices(reference, prediction, 2, 3) == [8, 12, 15]
    assert telling_slices(reference, prediction, 2, 1) == [10]
    nothing = np.zeros((5, 5, 7), np.uint8)
    assert telling_slices(nothing, nothing, 2, 1) == [3]


def test_what_is_not_annotated_and_what_is_no_structure_is_not_wrong() -> None:
    reference, prediction = masks()
    prediction[:2] = 2  # where nothing is annotated
    reference[:2] = 9
    reference[11, 0, 0] = 7  # no structure of these
    case = CaseImage(np.zeros(reference.shape), reference, prediction, (1.0, 1.0, 1.0), LABELS, 2, ignored=9)
    expected, predicted = case.masks()
    assert expected is not None and (expected == predicted).all() and set(np.unique(expected)) == {0, 1}
    assert "0 voxels wrong" in case_row(case, "a").said


def test_a_small_structure_fills_the_picture_and_a_large_one_keeps_its_surroundings() -> None:
    small = np.zeros((4, 200, 200), np.uint8)
    small[:, 90:110, 60:80] = 1
    case = CaseImage(np.zeros(small.shape), small, small, (5.0, 1.0, 1.0), LABELS, 0)
    assert case_row(case, "a").image.shape == (44, 44)  # 20 voxels, and 12 mm to either side
    large = np.zeros((4, 200, 200), np.uint8)
    large[:, 20:180, 60:80] = 1
    case = CaseImage(np.zeros(large.shape), large, large, (5.0, 1.0, 1.0), LABELS, 0)
    assert case_row(case, "a").image.shape == (200, 44)


def test_a_row_says_which_slice_and_how_much_is_wrong() -> None:
    reference, prediction = masks()
    prediction[4:8, 4:8, 16] = 2
    case = CaseImage(np.zeros(reference.shape), reference, prediction, (1.0, 1.0, 1.0), LABELS, 2)
    assert case_row(case, "case_07\nDice 0.81").said == "case_07\nDice 0.81\nslice 17 of 24\n16 voxels wrong"


def test_the_legend_has_the_dice_of_each_structure_that_is_there() -> None:
    reference, prediction = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    reference[0, 0, :4], prediction[0, 0, 1:3] = 1, 1  # 2 * 2 / (4 + 2)
    labels = (*LABELS, ("L3", 3))
    prediction[1, 0, 0] = 3
    case = CaseImage(np.zeros(reference.shape), reference, prediction, (1.0, 1.0, 1.0), labels, 0)
    _, entries = _legend(case, *case.masks())
    assert [text for _, text in entries[:3]] == ["Dice", "L5  0.667", "L3  0.000"]
    assert [text for _, text in entries[-3:]] == [name for name, _ in ERRORS]


def test_a_picture_shows_all_kinds_of_error(tmp_path: Path) -> None:
    reference, prediction = masks()
    prediction[9:11, 4:10, 10] = 1  # false positive
    prediction[4:6, 4:6, 10] = 0  # false negative
    prediction[6:8, 8:10, 10] = 2  # wrong structure
    image = np.zeros(reference.shape)
    write_case_picture(tmp_path / "a.png", image, reference, prediction, (1.0, 1.0, 4.0), LABELS, 2, "a" * 200)
    picture = imread(tmp_path / "a.png")[..., :3]
    for _, colour in ERRORS:
        blended = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255 * 0.85
        assert (np.abs(picture - blended).max(axis=2) < 0.03).sum() > 50


def test_pictures_without_reference_contrast_or_structures(tmp_path: Path) -> None:
    image = np.full((4, 5, 6), np.nan, np.float32)
    nothing = np.zeros(image.shape, np.uint8)
    write_case_picture(tmp_path / "a.png", image, None, nothing, (1.0, 1.0, 1.0), (), 2, "")
    mask = np.arange(120).reshape(4, 5, 6).astype(np.uint8) % 22
    labels = tuple((f"a structure with quite a long name, number {value}", value) for value in range(1, 22))
    write_case_picture(tmp_path / "b.png", np.ones((4, 5, 6)), mask, mask[::-1], (1.0, 1.0, 1.0), labels, 1, "b")
    case = CaseImage(image, nothing, nothing, (1.0, 1.0, 1.0), labels, 0)
    write_case_sheet(tmp_path / "new" / "c.png", [case_row(case, "c"), case_row(case, "d")], labels, "two")
    assert all(imread(path).any() for path in (tmp_path / "a.png", tmp_path / "b.png", tmp_path / "new" / "c.png"))


def test_arrays_that_differ_and_places_that_are_none_are_refused(tmp_path: Path) -> None:
    image, mask = np.zeros((4, 5, 6)), np.zeros((4, 5, 6), np.uint8)
    with pytest.raises(ValueError, match="shape"):
        write_case_picture(tmp_path / "a.png", image, mask[:2], mask, (1.0, 1.0, 1.0), LABELS, 2, "")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_case_picture(tmp_path / "file" / "a.png", image, mask, mask, (1.0, 1.0, 1.0), LABELS, 2, "")
