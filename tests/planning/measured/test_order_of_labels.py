from __future__ import annotations

from dataclasses import replace

import numpy as np

from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint
from autospine.planning.measured.order_of_labels import longest_chain, ordered_pairs, pair_order


def chain(cases: tuple[CaseFingerprint, ...]) -> tuple[tuple[int, ...], int, int]:
    return longest_chain(ordered_pairs(cases, 5, 0), 5)


def test_one_odd_case_in_twenty_is_let_pass(lumbar: Fingerprint) -> None:
    odd = tuple(replace(case, class_centroids_mm=case.class_centroids_mm[::-1]) for case in lumbar.cases[:1])
    assert chain((*odd, *lumbar.cases[:19])) == ((0, 1, 2, 3, 4), 19, 20)
    assert chain((*odd, *lumbar.cases[:18])) == ((), 0, 0)  # 18 of 19 are fewer than 95 %


def test_two_cases_must_show_an_order(lumbar: Fingerprint) -> None:
    without = tuple(replace(case, class_centroids_mm=(None, *case.class_centroids_mm[1:])) for case in lumbar.cases[1:])
    found, agree, having = chain((lumbar.cases[0], *without))
    assert (found, agree, having) == ((1, 2, 3, 4), 37, 37)  # L5 beside L4 is seen once


def test_a_pair_is_ordered_by_its_mean_and_by_nearly_every_case() -> None:
    def order(distances: list[float], least: int = 2) -> tuple[int, int] | None:
        return pair_order(np.asarray(distances), np.full(len(distances), 10.0), least=least)

    assert order([6.0, 6.0]) == (1, 2)
    assert order([-6.0, -6.0]) == (-1, 2)
    assert order([5.0, 5.0]) is None  # half of their extent, and not more
    assert order([30.0, 1.0]) is None  # apart in the mean; the second is undecided
    assert order([6.0]) is None and order([6.0], least=1) == (1, 1)
    assert order([], least=0) is None


def test_relations_that_run_in_a_circle_end() -> None:
    found, agree, having = longest_chain({(0, 1): (3, 3), (1, 2): (2, 3), (2, 0): (3, 3)}, 3)
    assert len(found) == 3 and (agree, having) in ((2, 3), (3, 3))
    assert longest_chain({}, 3) == ((), 0, 0)
