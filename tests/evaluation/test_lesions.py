"""Lesions found, missed and false, by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.evaluation.folders import evaluate_folders
from autospine.evaluation.lesions import Lesion, LesionCounts, count_lesions, pooled
from autospine.evaluation.score import score_cases

SPACING = (2.0, 1.0, 1.0)


def test_one_found_one_missed_one_false() -> None:
    reference, prediction = np.zeros((6, 20, 20), np.uint8), np.zeros((6, 20, 20), np.uint8)
    reference[1:3, 2:7, 2:7] = 5  # 50 voxels of 2 mm3
    reference[4, 15, 15] = reference[5, 16, 16] = 5  # two voxels that share a corner
    prediction[1, 2, 2:7] = 5  # 5 of 50: a tenth
    prediction[1, 12:14, 12] = 5  # touches nothing
    prediction[1, 18, 18] = 3  # another class
    found = count_lesions(prediction, reference, 5, SPACING)
    assert [round(lesion.covered, 3) for lesion in found.lesions] == [0.1, 0.0]
    assert found.lesions[0].diameter_mm == pytest.approx((6 * 100 / np.pi) ** (1 / 3))  # 5.76 mm
    assert found.lesions[1].diameter_mm == pytest.approx((6 * 4 / np.pi) ** (1 / 3))  # 1.97 mm
    assert found.to_json() == {
        "found": 1,
        "missed": 1,
        "true": 1,
        "false": 1,
        "sensitivity": 0.5,
        "precision": 0.5,
        "dice": pytest.approx((2 * 5 / (50 + 5) + 0) / 3),
        "by_diameter": {
            "under 5 mm": {"found": 0, "missed": 1},
            "5 to 10 mm": {"found": 1, "missed": 0},
            "10 mm and more": {"found": 0, "missed": 0},
        },
    }
    prediction[1, 2, 2] = 0
    assert count_lesions(prediction, reference, 5, SPACING).to_json()["found"] == 0
    # a region is one class
    reference[1:3, 2:4] *= 0
    reference[1:3, 2:4, 2:7] = 6
    assert len(count_lesions(prediction, reference, (5, 6), SPACING).lesions) == 2


def test_a_prediction_that_runs_over_two_lesions_finds_both_and_is_not_false() -> None:
    reference, prediction = np.zeros((1, 5, 9), np.uint8), np.zeros((1, 5, 9), np.uint8)
    reference[0, 1:4, 1:4] = reference[0, 1:4, 5:8] = 1
    prediction[0, 2, 1:8] = 1
    found = count_lesions(prediction, reference, 1, SPACING)
    assert [lesion.found for lesion in found.lesions] == [True, True] and found.false == 0
    # each with the whole of the prediction: 3 of 9 voxels, 7 predicted
    assert [lesion.dice for lesion in found.lesions] == pytest.approx([6 / 16, 6 / 16]) and found.dice == 6 / 16


def test_nothing_to_find_has_no_sensitivity() -> None:
    empty = np.zeros((2, 3, 4), np.uint8)
    content = count_lesions(empty, empty, 1, SPACING).to_json()
    assert content["sensitivity"] is None and content["precision"] is None and content["dice"] is None
    alone = count_lesions(empty + 1, empty, 1, SPACING).to_json()
    assert alone["false"] == 1 and alone["precision"] == 0 and alone["sensitivity"] is None and alone["dice"] == 0


def test_cases_are_pooled() -> None:
    one = LesionCounts((Lesion(4.0, 0.0, 0.0), Lesion(12.0, 0.9, 0.8)), 1, 2)
    assert one.dice == pytest.approx(0.8 / 4)
    content = pooled([one, LesionCounts((Lesion(4.0, 0.5, 0.4),), 1, 0)]).to_json()
    assert (content["found"], content["missed"], content["false"], content["precision"]) == (2, 1, 2, 0.5)
    assert content["by_diameter"]["under 5 mm"] == {"found": 1, "missed": 1}


@given(arrays(np.uint8, (3, 6, 5), elements=st.integers(0, 1)), arrays(np.uint8, (3, 6, 5), elements=st.integers(0, 1)))
def test_the_image_of_itself_is_found_whole(first: np.ndarray, second: np.ndarray) -> None:
    same = count_lesions(first, first, 1, SPACING)
    assert all(lesion.covered == lesion.dice == 1 for lesion in same.lesions) and same.false == 0
    there, back = count_lesions(first, second, 1, SPACING), count_lesions(second, first, 1, SPACING)
    # the lesions of the one are the components that the other predicts
    assert there.true + there.false == len(back.lesions)
    assert there.false >= sum(lesion.covered == 0 for lesion in back.lesions)
    assert bool(there.true) == any(lesion.found for lesion in there.lesions)


def test_what_is_not_annotated_is_no_lesion_and_hides_none() -> None:
    reference, prediction = np.zeros((1, 4, 8), np.uint8), np.zeros((1, 4, 8), np.uint8)
    reference[0, 1, 1:3], reference[0, :, 5:] = 1, 255
    prediction[0, 1, 1:3] = prediction[0, 2, 6] = 1
    scores = score_cases([("a", prediction, reference, SPACING)], (("x", 1),), 255, lesions=True)
    content = scores.to_json()
    assert content["lesions"]["x"]["found"] == 1 and content["lesions"]["x"]["false"] == 0
    assert content["cases"][0]["lesions"]["x"] == content["lesions"]["x"]
    assert "lesions" not in score_cases([("a", prediction, reference, SPACING)], (("x", 1),), 255).to_json()


def test_a_rim_that_is_not_annotated_makes_nothing_false() -> None:
    """One prediction over a lesion and its uncertain rim is one prediction; one in the rim alone counts for nothing."""
    reference, prediction = np.zeros((1, 20, 20), np.uint8), np.zeros((1, 20, 20), np.uint8)
    reference[0, 4:14, 4:14], reference[0, 6:12, 6:12] = 255, 1
    prediction[0, 3:12, 6:12] = 1
    prediction[0, 13, 13] = 1
    scores = score_cases([("a", prediction, reference, SPACING)], (("x", 1),), 255, lesions=True)
    counts = scores.cases[0].lesions[0]
    assert (len(counts.lesions), counts.true, counts.false) == (1, 1, 0)
    # of the prediction 6 voxels above the rim and 36 in the lesion are annotated
    assert counts.lesions[0].dice == pytest.approx(2 * 36 / (36 + 42))


def test_a_blob_that_grazes_a_lesion_has_not_found_it_and_is_false() -> None:
    reference, prediction = np.zeros((1, 20, 20), np.uint8), np.zeros((1, 20, 20), np.uint8)
    reference[0, 2:7, 2:6] = 1
    prediction[0, 6:18, 5:18] = 1
    counts = count_lesions(prediction, reference, 1, SPACING)
    assert not counts.lesions[0].found and (counts.true, counts.false) == (0, 1)


def test_lesions_of_folders(tmp_path: Path) -> None:
    grid = Geometry((2, 6, 6), (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    array = np.zeros((1, 2, 6, 6), np.uint8)
    array[0, 0, 1:3, 1:3] = array[0, 1, 5, 5] = 2
    write_volume(tmp_path / "labelsTr/a.nii.gz", Volume(array, grid))
    write_volume(tmp_path / "pred/a.nii.gz", Volume(array * (np.arange(6) < 4).astype(np.uint8), grid))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "lytic": 2}}))
    content = evaluate_folders(tmp_path / "pred", tmp_path / "labelsTr", lesions=True).to_json()
    assert content["lesions"]["lytic"]["found"] == 1 and content["lesions"]["lytic"]["missed"] == 1
