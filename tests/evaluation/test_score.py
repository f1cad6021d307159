"""Scores of cases: means by hand, streaming, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

from autospine.evaluation.metrics import DISTANCES, METRICS
from autospine.evaluation.score import score_cases
from tests.evaluation.counted import LABELS, SPACING, mask


def test_means_by_hand() -> None:
    # Dice L1: case a 2*2/(2+4) = 2/3, case b absent from both: left out. L2: a 1, b missed: 0.
    cases = [
        ("a", mask(L1=2, L2=3), mask(L1=4, L2=3), SPACING),
        ("b", mask(), mask(L2=1), SPACING),
    ]
    scores = score_cases(cases, LABELS)
    assert scores.class_mean("L1") == pytest.approx(2 / 3)
    assert scores.class_mean("L2") == pytest.approx(0.5)
    assert scores.mean() == pytest.approx((2 / 3 + 0.5) / 2)  # not the mean of the three numbers
    assert scores.case_mean(scores.cases[0]) == pytest.approx(5 / 6)
    assert scores.class_mean("L1", "sensitivity") == pytest.approx(0.5)


def test_json_has_the_schema_and_no_nan() -> None:
    scores = score_cases([("a", mask(L1=2), mask(L1=2), SPACING)], LABELS)
    content = json.loads(json.dumps(scores.to_json(), allow_nan=False))
    assert list(content) == ["rule", "tolerance_mm", "mean", "mean_values", "intervals", "classes", "cases"]
    assert content["mean_values"] == dict.fromkeys(content["mean"], 1)
    assert content["mean"]["dice"] == 1.0
    assert content["classes"]["L1"] == {
        "dice": 1.0, "iou": 1.0, "precision": 1.0, "sensitivity": 1.0, "specificity": 1.0, "accuracy": 1.0,
        "hd95_mm": 0.0, "asd_mm": 0.0, "surface_dice": 1.0, "volume_difference_mm3": 0.0,
        "cases": dict.fromkeys(METRICS, 1),
    }  # fmt: skip
    assert tuple(content["mean"]) == METRICS
    nothing = dict.fromkeys(METRICS)
    assert content["intervals"] == {
        "level": 0.95, "subjects": 1, "mean": nothing, "classes": {"L1": nothing, "L2": nothing},
    }  # fmt: skip
    assert content["classes"]["L2"]["dice"] is None
    assert content["classes"]["L2"]["cases"]["dice"] == 0
    assert content["cases"][0]["case"] == "a"
    assert content["cases"][0]["classes"]["L1"]["reference_voxels"] == 2
    assert "absent" in content["rule"]


def test_without_distances_none_is_there() -> None:
    scores = score_cases([("a", mask(L1=2), mask(L1=3), SPACING)], LABELS, distances=False)
    content = scores.to_json()
    left = [metric for metric in METRICS if metric not in DISTANCES]
    assert list(content["mean"]) == left == list(content["intervals"]["mean"]) and "tolerance_mm" not in content
    assert not set(DISTANCES) & {*content["classes"]["L1"], *content["cases"][0]["classes"]["L1"]}
    whole = score_cases([("a", mask(L1=2), mask(L1=3), SPACING)], LABELS, tolerance_mm=2.5)
    assert whole.to_json()["tolerance_mm"] == 2.5 and whole.mean() == scores.mean()


def test_intervals_are_over_subjects() -> None:
    """Dice of L1: p1 0.5 and 2/3, p2 0.8, p3 1: with four subjects the interval would be another one."""
    voxels = {"p1_visit1": 1, "p1_visit2": 3, "p2_visit1": 9, "p3_visit1": 6}
    found = {"p1_visit1": 3, "p1_visit2": 6, "p2_visit1": 6, "p3_visit1": 6}
    cases = [(name, mask(L1=found[name]), mask(L1=count), SPACING) for name, count in voxels.items()]
    scores = score_cases(cases, LABELS)
    assert [case.metrics[0].dice for case in scores.cases] == pytest.approx([0.5, 2 / 3, 0.8, 1.0])
    content = scores.to_json()
    assert content["intervals"]["subjects"] == 3
    low, high = content["intervals"]["classes"]["L1"]["dice"]
    assert 0.5 < low < content["classes"]["L1"]["dice"] < high <= 1.0
    assert content["intervals"]["classes"]["L2"]["dice"] is None
    assert content["intervals"]["mean"]["dice"] == [low, high]
    subjects = content["subjects"]["subjects"]
    assert [one["cases"] for one in subjects] == [["p1_visit1", "p1_visit2"], ["p2_visit1"], ["p3_visit1"]]
    assert subjects[0]["classes"]["L1"]["dice"] == pytest.approx((0.5 + 2 / 3) / 2)
    assert subjects[0]["classes"]["L1"]["reference_voxels"] == 4
    assert content["subjects"]["mean"]["dice"] == pytest.approx(((0.5 + 2 / 3) / 2 + 0.8 + 1.0) / 3)
    each = score_cases(cases, LABELS, subjects={name: name for name in voxels})
    assert each.to_json()["intervals"]["subjects"] == 4 and "subjects" not in each.to_json()


def test_slices_of_a_case_are_scored_together() -> None:
    """1 of 2 pixels and 6 of 6: 0.667 and 1 slice by slice, 2 * 7 / (7 + 8) together."""
    flat = (1, 3, 4)
    slices = [np.zeros(flat, np.uint8) for _ in range(4)]
    for array, count in zip(slices, (1, 2, 6, 6), strict=True):
        array.flat[:count] = 5
    cases = [("p_slice1", slices[0], slices[1], SPACING), ("p_slice2", slices[2], slices[3], SPACING)]
    cases.append(("q_slice1", slices[0], slices[0], SPACING))
    content = score_cases(cases, LABELS).to_json()
    assert content["classes"]["L1"]["dice"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    first, second = content["subjects"]["subjects"]
    assert (first["subject"], first["slices"]) == ("p", ["p_slice1", "p_slice2"])
    assert first["classes"]["L1"]["dice"] == pytest.approx(14 / 15)
    assert first["classes"]["L1"]["accuracy"] == pytest.approx(23 / 24)
    assert first["classes"]["L1"]["volume_difference_mm3"] == pytest.approx(-8.0)
    assert second["classes"]["L1"]["dice"] == 1.0 and first["classes"]["L2"]["dice"] is None


def test_no_case_gives_no_number() -> None:
    scores = score_cases([], LABELS)
    assert math.isnan(scores.mean())
    assert scores.to_json()["cases"] == [] and scores.to_json()["intervals"]["subjects"] == 0


def test_cases_are_read_one_at_a_time() -> None:
    seen: list[str] = []

    def stream() -> Iterator[tuple[str, np.ndarray, np.ndarray, tuple[float, ...]]]:
        for name in "abc":
            seen.append(name)
            yield name, mask(L1=1), mask(L1=1), SPACING
            assert seen[-1] == name

    assert len(score_cases(stream(), LABELS).cases) == 3
