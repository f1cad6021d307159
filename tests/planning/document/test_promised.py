"""Bounds and flags of a case, from promises whose numbers are known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autospine.planning.document.promise import FEATURES, Bound, Gauge, Promise
from autospine.planning.document.promised import features, lower_bound, promised
from autospine.planning.document.quantities import off_scale, on_scale
from tests.evidence import evidence_of, missing, structure_of

NOTHING = (0.0,) * len(FEATURES)


def bound_of(
    residuals: list[float], left_out: list[int] | None = None, weight: float = 1.0, best: float = 1.0
) -> Bound:
    parts = 1 + max(left_out or [0])
    count = len(residuals)
    where = tuple(left_out or [0] * count)
    subjects = round(count * weight)
    return Bound("L5", subjects, best, (0.0,) * parts, (7.0,) * parts, where, tuple(residuals), (weight,) * count)


def test_of_nine_cases_the_lowest_bounds_of_eight_nothing() -> None:
    """(1 - .9) (n + 1) is 1 of nine, 2 of nineteen, and less than one of eight."""
    residuals = [0.1 * place for place in range(-4, 15)]
    here = np.array([0.5])
    assert lower_bound(bound_of(residuals[:8]), here, 0.9) is None
    assert lower_bound(bound_of(residuals[:9]), here, 0.9) == pytest.approx(off_scale(0.5 - 0.4))
    assert lower_bound(bound_of(residuals[:18]), here, 0.9) == pytest.approx(off_scale(0.5 - 0.4))
    assert lower_bound(bound_of(residuals), here, 0.9) == pytest.approx(off_scale(0.5 - 0.3))
    assert lower_bound(bound_of(residuals), here, 0.8) == pytest.approx(off_scale(0.5 - 0.1))  # the fourth of 20
    shuffled = [residuals[place] for place in np.random.default_rng(0).permutation(19)]
    assert lower_bound(bound_of(shuffled), here, 0.9) == pytest.approx(off_scale(0.5 - 0.3))


def test_two_cases_of_a_subject_weigh_as_one() -> None:
    """Below the third of 38 lie two, the worth of one of nineteen subjects; of sixteen of eight nothing is said."""
    residuals = [0.1 * place for place in range(-4, 34)]
    here = np.array([0.5])
    assert lower_bound(bound_of(residuals, weight=0.5), here, 0.9) == pytest.approx(off_scale(0.5 - 0.2))
    assert lower_bound(bound_of(residuals[:18], weight=0.5), here, 0.9) == pytest.approx(off_scale(0.5 - 0.4))
    assert lower_bound(bound_of(residuals[:16], weight=0.5), here, 0.9) is None


def test_each_case_speaks_by_the_part_that_left_it_out() -> None:
    """Parts say 0 and 1 here; the cases of part 1 were 2 below what it foretold of them."""
    left_out = [0] * 5 + [1] * 4
    residuals = [0.0] * 5 + [-2.0] * 4
    assert lower_bound(bound_of(residuals, left_out), np.array([0.0, 1.0]), 0.9) == pytest.approx(off_scale(-1.0))
    assert lower_bound(bound_of(residuals, left_out), np.array([0.0, 3.0]), 0.9) == pytest.approx(off_scale(0.0))


def test_no_more_is_promised_than_was_seen() -> None:
    assert lower_bound(bound_of([3.0] * 9, best=0.9), np.array([2.0]), 0.9) == 0.9


def test_features_speak_for_more_dice_the_larger_they_are() -> None:
    sure = evidence_of({"L5": structure_of(0.95), "L4": structure_of(0.9)})
    base = features(sure, "L5", math.log(1000))
    assert base[0] == pytest.approx(on_scale(0.95)) and base[5] == pytest.approx(on_scale(0.9))
    assert list(base[2:5]) == [0, 0, 0]
    for place, changed in enumerate(
        [
            structure_of(0.8),
            structure_of(0.95, entropy=0.5),
            structure_of(0.95, 3000.0),
            structure_of(0.95, edge=0.2),
            structure_of(0.95, islands=4),
        ]
    ):
        found = features(evidence_of({**sure.structures, "L5": changed}), "L5", math.log(1000))
        assert found[place] < base[place] and np.delete(found, place) == pytest.approx(np.delete(base, place))
    worse = features(evidence_of({"L5": structure_of(0.95), "L4": structure_of(0.5)}), "L5", math.log(1000))
    assert worse[5] < base[5]
    # small or large, and no more than sevenfold; alone, a structure stands for the others
    odd = [
        features(evidence_of({"L5": structure_of(0.95, size)}), "L5", math.log(1000)) for size in (2000.0, 500.0, 1e9)
    ]
    assert odd[0][2] == pytest.approx(-math.log(2)) == odd[1][2] and odd[2][2] == -2.0 and odd[0][5] == base[0]


def promise_of(bounds: tuple[Bound, ...], gauges: tuple[Gauge, ...] = (), threshold: float = 0.0) -> Promise:
    parts = len(bounds[0].intercepts) if bounds else 0
    return Promise("0", 0.9, 1.0, ("0",), 9, 9, FEATURES, (NOTHING,) * parts, bounds, gauges, threshold, 0.05)


def test_nothing_is_promised_of_what_was_not_found_or_is_not_known() -> None:
    promise = promise_of((bound_of([0.0] * 9),))
    said = promised(promise, evidence_of({"L5": structure_of(0.9), "L4": structure_of(0.8), "L3": missing()}))
    assert said.of("L5").promised_dice == pytest.approx(0.5) and said.of("L5").cases == 9
    assert said.of("L4").promised_dice is None and "too few" in said.of("L4").why
    assert said.of("L4").expected_dice == pytest.approx(0.8)
    third = said.of("L3")
    assert (third.promised_dice, third.expected_dice, third.cases, third.why) == (None, None, 0, "not found")
    assert said.oddness is None and said.flags == ()
    with pytest.raises(KeyError):
        said.of("L1")


def test_nothing_is_promised_of_what_was_removed_after_the_network() -> None:
    promise = promise_of((bound_of([0.0] * 9),))
    evidence = evidence_of({"L5": structure_of(0.9), "L3": missing()})
    said = promised(promise, evidence, {"L5", "L3"})
    gone = said.of("L5")
    assert (gone.promised_dice, gone.expected_dice, gone.cases) == (None, None, 0) and "removed" in gone.why
    assert said.of("L3").why == "not found"
