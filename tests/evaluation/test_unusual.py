from __future__ import annotations

import numpy as np
import pytest

from autospine.evaluation import unusual
from autospine.evaluation.unusual import deviations, usual, usual_beside, weighted_median


@pytest.mark.parametrize(
    ("values", "weights", "middle"),
    [
        ([5.0], [1.0], 5.0),
        ([3.0, 1.0, 2.0], [1.0, 1.0, 1.0], 2.0),
        ([4.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.0, 1.0], 2.5),
        ([1.0, 2.0, 9.0], [1.0, 1.0, 2.0], 5.5),
        ([1.0, 2.0, 9.0], [1.0, 1.0, 3.0], 9.0),
    ],
)
def test_half_of_the_weight_lies_on_either_side(values: list[float], weights: list[float], middle: float) -> None:
    assert weighted_median(np.array(values), np.array(weights)) == middle


def test_a_case_is_judged_by_the_others() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    centres, spreads = usual(values, ["a", "b", "c", "d", "e"], 0.1)
    # the others of the last are 1, 2, 3, 4: median 2.5, distances 1.5, 0.5, 0.5, 1.5
    assert centres[4] == 2.5 and spreads[4] == pytest.approx(1.4826)
    assert usual_beside(values, ["a", "b", "c", "d", "e"], 4, 0.1) == (2.5, pytest.approx(1.4826))
    # the others of the first are 2, 3, 4, 100
    assert centres[0] == 3.5
    assert deviations(values, ["a", "b", "c", "d", "e"], 0.1)[4] == pytest.approx(97.5 / 1.4826)


def test_a_person_counts_once_and_is_not_judged_by_themselves() -> None:
    values = np.array([1.0, 2.0, 3.0, 9.0, 9.0, 9.0, 9.0])
    people = ["a", "b", "c", "d", "d", "d", "d"]
    assert deviations(values, people, 1.0)[3] == pytest.approx((9 - 2) / 1.4826)
    # for "a" the others are 2, 3 and one person with 9
    assert usual(values, people, 1.0)[0][0] == 3.0


def test_a_floor_of_the_spread_and_what_is_not_known() -> None:
    values = np.array([0.0, 0.0, 0.0, 0.5, np.nan])
    found = deviations(values, list("abcde"), 0.1)
    assert found[3] == pytest.approx(5.0) and np.isnan(found[4]) and found[0] == 0.0
    assert deviations(np.array([1.0, 5.0, 9.0]), list("abc"), 0.1).tolist() == [0.0, 0.0, 0.0]  # two others are too few


def test_of_many_people_all_are_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=80)
    people = [str(number) for number in range(80)]
    quick = deviations(values, people, 0.01)
    monkeypatch.setattr(unusual, "MANY", 1000)
    np.testing.assert_allclose(quick, deviations(values, people, 0.01), atol=0.15)
