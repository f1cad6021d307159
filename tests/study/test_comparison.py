from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from autospine.evaluation.metrics import METRICS
from autospine.study.comparison import (
    Compared,
    Interval,
    compare,
    corrected,
    gather_scores,
    interval,
    least_p,
    mean_over_classes,
    tally_lesions,
)


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


def holm(*values: float) -> list[float]:
    nothing = Interval(0.0, 0.0, 0.0, 1)
    return [one.corrected for one in corrected([Compared("a", "b", nothing, p, p) for p in values])]


def test_holm_by_hand() -> None:
    assert holm(0.01, 0.04, 0.03) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(0.5, 0.6) == [1.0, 1.0]
    assert holm(0.02) == [0.02]
    found = holm(0.01, math.nan, 0.02)
    assert found[0] == 0.02 and math.isnan(found[1]) and found[2] == 0.02


def test_a_false_find_does_not_drop_out_with_its_pair() -> None:
    """Class y is in no reference: `one` finds it in a, nobody in b."""
    one = [case("a", {"x": 0.8, "y": 0.0}, 0), case("b", {"x": 0.8, "y": None})]
    two = [case("a", {"x": 0.8, "y": None}), case("b", {"x": 0.8, "y": None})]
    scores = gather_scores({"one": one, "two": two}, ["x", "y"], {})
    assert scores.of("one")[:, 1].tolist() == [0.0, pytest.approx(math.nan, nan_ok=True)]
    assert scores.of("two")[:, 1].tolist() == [1.0, pytest.approx(math.nan, nan_ok=True)]
    assert math.isnan(scores.of("two", "specificity")[0, 1]) and math.isnan(scores.of("two", "hd95_mm")[0, 1])
    (compared,) = compare({arm: mean_over_classes(scores.of(arm)) for arm in scores.arms}, "one")
    assert compared.difference.mean == pytest.approx((0.5 + 0) / 2)


def test_six_subjects_to_one_side() -> None:
    """The exact test of six positive differences: 2 / 2^6."""
    base = np.array([0.5, 0.6, 0.7, 0.8, 0.65, 0.55])
    gains = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    (one,) = compare({"base": base, "new": base + gains}, "base")
    assert one.p == pytest.approx(2 / 64) == least_p(6)
    assert one.corrected == one.p and one.beyond_noise
    assert one.difference.mean == pytest.approx(0.035) and one.difference.low > 0
    assert one.difference.low < 0.035 < one.difference.high < 0.06


def test_five_subjects_cannot_show_anything() -> None:
    gains = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    (one,) = compare({"base": np.zeros(5), "new": gains}, "base")
    assert one.p == pytest.approx(0.0625) and not one.beyond_noise


def test_correction_takes_the_call_back() -> None:
    gains = np.arange(1, 7) / 100
    scores = {"base": np.zeros(6), "one": gains, "two": gains, "three": gains}
    assert [item.corrected for item in compare(scores, "base")] == pytest.approx([6 / 64] * 3)
    assert not any(item.beyond_noise for item in compare(scores, "base"))
    assert [item.least for item in compare(scores, "base")] == pytest.approx([6 / 64] * 3)
    tied = np.array([0.1, 0.2, 0.3, 0.4, 0.0, 0.0])
    assert compare({"base": np.zeros(6), "one": tied}, "base")[0].least == 2 / 16


def test_no_difference_is_certain() -> None:
    (one,) = compare({"base": np.ones(4), "same": np.ones(4)}, "base")
    assert (one.p, one.difference.mean, one.difference.low, one.beyond_noise) == (1.0, 0.0, 0.0, False)


def test_pairs_without_a_number_are_left_out() -> None:
    base, new = np.array([0.5, math.nan, 0.7]), np.array([0.6, 0.9, math.nan])
    (one,) = compare({"base": base, "new": new}, "base")
    assert one.difference.subjects == 1 and math.isnan(one.difference.low)
    (none,) = compare({"base": base[1:2], "new": new[1:2]}, "base")
    assert none.difference.subjects == 0 and math.isnan(none.p) and not none.beyond_noise


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        found = interval(rng.normal(1.0, 1.0, 30))
        held += found.low < 1.0 < found.high
    assert 50 <= held <= 60  # 57 on average; 49 or less once in 20 000 times
    again = rng.normal(size=10)
    assert interval(again) == interval(again)


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
