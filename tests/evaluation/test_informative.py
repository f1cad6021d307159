from __future__ import annotations

import math

import numpy as np
import pytest

from autospine.evaluation.informative import choose, standardised, uncertainty_ranks

NOTHING = {"x": np.zeros((0, 1))}


def line(*places: float) -> dict[str, np.ndarray]:
    return {"x": np.array(places)[:, None]}


def test_the_first_stands_for_most_and_the_next_for_the_rest() -> None:
    scans = line(0, 1, 2, 10, 11, 12, 30)
    picks = choose(scans, NOTHING, np.ones(7), 3)
    assert [pick.scan for pick in picks] == [3, 1, 6]
    assert picks[0].distance == math.inf and picks[0].unlike == ""
    assert picks[1].distance == 9 and picks[1].stands_for == 2 and picks[1].unlike == "x"
    assert picks[2].stands_for == 0


def test_ten_of_the_same_are_not_chosen() -> None:
    scans = line(*[5.0] * 10, 7.0, 9.0)
    picked = [pick.scan for pick in choose(scans, NOTHING, np.ones(12), 3)]
    assert len({float(scans["x"][place, 0]) for place in picked}) == 3


def test_what_is_annotated_needs_no_other() -> None:
    scans = line(0, 1, 2, 10, 11, 12)
    picks = choose(scans, line(11), np.ones(6), 1)
    assert picks[0].scan == 1 and picks[0].distance == 10 and picks[0].stands_for == 2


def test_uncertain_scans_count_more() -> None:
    """Two pairs equally far from what is annotated: the uncertain one is chosen, on either side."""
    for sure, other in ((0, 1), (1, 0)):
        uncertainty = np.array([sure, sure, other, other], np.float64)
        first = choose(line(-10, -11, 10, 11), line(0), uncertainty, 1)[0].scan
        assert (first in (2, 3)) == (other > sure)


def test_all_are_chosen_where_there_are_fewer() -> None:
    picks = choose(line(3, 3, 3), NOTHING, np.array([0.1, 0.9, 0.5]), 5)
    assert sorted(pick.scan for pick in picks) == [0, 1, 2] and picks[0].scan == 1


def test_groups_count_alike_and_outliers_are_cut_off() -> None:
    table = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0], [1e9, np.nan, 2.0]])
    made = standardised({"three": table, "one": table[:, 2:], "none": np.full((5, 2), np.nan)})
    assert set(made) == {"three", "one"}
    assert made["three"][4, 0] == pytest.approx(4 / 3**0.5) and made["three"][4, 1] == 0
    # median 2, median of the distances 1
    assert made["one"][:, 0] == pytest.approx(np.array([-2, -1, 0, 1, 0]) / 1.4826)


def test_ranks_of_several_signs() -> None:
    found = uncertainty_ranks([np.array([0.1, 0.9, 0.5]), np.array([1.0, 2.0, np.nan]), np.full(3, np.nan)])
    assert found.tolist() == [0.0, 1.0, 0.5]
    assert uncertainty_ranks([np.array([2.0, 2.0])]).tolist() == [0.5, 0.5]
    assert uncertainty_ranks([np.full(2, np.nan)]).tolist() == [0.5, 0.5]
