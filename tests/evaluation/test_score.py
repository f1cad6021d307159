"""Scores of cases: means by hand, streaming, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

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
    assert list(content) == ["rule", "mean", "mean_values", "classes", "cases"]
    assert content["mean_values"] == dict.fromkeys(content["mean"], 1)
    assert content["mean"]["dice"] == 1.0
    assert content["classes"]["L1"] == {
        "dice": 1.0, "iou": 1.0, "precision": 1.0, "sensitivity": 1.0, "specificity": 1.0, "hd95_mm": 0.0,
        "cases": dict.fromkeys(("dice", "iou", "precision", "sensitivity", "specificity", "hd95_mm"), 1),
    }  # fmt: skip
    assert content["classes"]["L2"]["dice"] is None
    assert content["classes"]["L2"]["cases"]["dice"] == 0
    assert content["cases"][0]["case"] == "a"
    assert content["cases"][0]["classes"]["L1"]["reference_voxels"] == 2
    assert "absent" in content["rule"]


def test_no_case_gives_no_number() -> None:
    scores = score_cases([], LABELS)
    assert math.isnan(scores.mean())
    assert scores.to_json()["cases"] == []


def test_cases_are_read_one_at_a_time() -> None:
    seen: list[str] = []

    def stream() -> Iterator[tuple[str, np.ndarray, np.ndarray, tuple[float, ...]]]:
        for name in "abc":
            seen.append(name)
            yield name, mask(L1=1), mask(L1=1), SPACING
            assert seen[-1] == name

    assert len(score_cases(stream(), LABELS).cases) == 3
