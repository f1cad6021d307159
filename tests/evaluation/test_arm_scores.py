from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autospine.evaluation.arm_scores import gather_scores, tally_lesions
from autospine.evaluation.metrics import METRICS
from autospine.evaluation.paired import compare, mean_over_classes


def case(name: str, dice: dict[str, float | None], voxels: int = 100) -> dict[str, Any]:
    """A case as metrics.json has it."""
    classes = {
        label: dict.fromkeys(METRICS, value) | {"reference_voxels": 0 if value is None else voxels}
        for label, value in dice.items()
    }
    return {"case": name, "classes": classes}


def test_scores_are_those_of_subjects_that_every_arm_has_seen() -> None:
    first = [case("a1", {"x": 0.8, "y": None}), case("a2", {"x": 0.6, "y": 0.5}), case("b", {"x": 0.4, "y": 0.2})]
    second = [case("a2", {"x": 0.7, "y": 0.4}), case("a1", {"x": 0.9, "y": None}, voxels=300), case("c", {"x": 1.0})]
    scores = gather_scores({"one": first, "two": second}, ["x", "y"], {"a1": "a", "a2": "a", "b": "b", "c": "c"})
    assert (scores.subjects, scores.cases) == (("a",), 2)
    assert scores.of("one").tolist() == [[pytest.approx(0.7), 0.5]]
    assert scores.of("two", "hd95_mm").tolist() == [[pytest.approx(0.8), 0.4]]
    assert scores.class_size(0) == 100 and scores.class_size(1) == 100


def test_a_class_that_no_subject_has_says_nothing() -> None:
    scores = gather_scores({"one": [case("a", {"x": None, "y": 0.5})]}, ["x", "y"], {})
    assert math.isnan(scores.class_size(0)) and math.isnan(scores.of("one")[0, 0])
    assert mean_over_classes(scores.of("one")).tolist() == [0.5]
    assert math.isnan(mean_over_classes(np.array([[math.nan, math.nan]]))[0])


def test_a_false_find_does_not_drop_out_with_its_pair() -> None:
    """Class y is in no reference: `one` finds it in a, nobody in b."""
    one = [case("a", {"x": 0.8, "y": 0.0}, 0), case("b", {"x": 0.8, "y": None})]
    one[0]["classes"]["y"]["volume_difference_mm3"] = 5.0
    two = [case("a", {"x": 0.8, "y": None}), case("b", {"x": 0.8, "y": None})]
    scores = gather_scores({"one": one, "two": two}, ["x", "y"], {})
    assert scores.of("one")[:, 1].tolist() == [0.0, pytest.approx(math.nan, nan_ok=True)]
    assert scores.of("two")[:, 1].tolist() == [1.0, pytest.approx(math.nan, nan_ok=True)]
    assert scores.of("two", "volume_difference_mm3")[0, 1] == 0.0  # and not left out together with the 5 of `one`
    assert math.isnan(scores.of("two", "specificity")[0, 1]) and math.isnan(scores.of("two", "hd95_mm")[0, 1])
    (compared,) = compare({arm: mean_over_classes(scores.of(arm)) for arm in scores.arms}, "one")
    assert compared.difference.mean == pytest.approx((0.5 + 0) / 2)


def test_lesions_of_the_cases_that_every_arm_has_scored() -> None:
    def counted(name: str, found: int, missed: int, true: int, false: int) -> dict[str, Any]:
        counts = {"found": found, "missed": missed, "true": true, "false": false}
        return case(name, {"x": 0.5}) | {"lesions": {"x": counts}}

    one = [counted("a", 2, 1, 3, 1), counted("b", 1, 0, 1, 0), counted("c", 9, 9, 9, 9)]
    two = [counted("b", 0, 1, 0, 0), counted("a", 0, 3, 0, 0)]
    first, second = tally_lesions({"one": one, "two": two}, ["x"])
    assert (first.found, first.missed, first.true, first.false) == (3, 1, 4, 1)
    assert (first.sensitivity, first.precision) == (0.75, 0.8)
    assert second.sensitivity == 0 and math.isnan(second.precision)
    assert tally_lesions({"one": [case("a", {"x": 0.5})]}, ["x"]) == ()


def test_what_a_file_has_not_measured_is_no_right_find_of_nothing() -> None:
    """`old` is of a version without surface Dice: its cases have none in it, neither good ones nor empty ones."""
    old = [case("a", {"x": 0.8}), case("b", {"x": None})]
    for table in old:
        del table["classes"]["x"]["surface_dice"]
    new = [case("a", {"x": 0.6}), case("b", {"x": 0.0}, 0)]
    scores = gather_scores({"old": old, "new": new}, ["x"], {})
    assert scores.of("old")[:, 0].tolist() == [0.8, 1.0]
    assert np.isnan(scores.of("old", "surface_dice")).all()
    assert scores.of("new", "surface_dice")[:, 0].tolist() == [0.6, 0.0]
    # nor does what one has not measured make a find of what the other rightly left alone
    first, unmeasured = case("a", {"x": None}), case("a", {"x": 0.5})
    del unmeasured["classes"]["x"]["surface_dice"]
    both = gather_scores({"first": [first], "second": [unmeasured]}, ["x"], {})
    assert np.isnan(both.of("first", "surface_dice")).all()
