"""Bounds and flags of a case, from promises whose numbers are known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autospine.planning.document.promise import FEATURES, Bound, Gauge, Promise
from autospine.planning.document.promised import (
    distance,
    features,
    lower_bound,
    off_scale,
    on_scale,
    promised,
    quantities,
    unusual,
)
from tests.evidence import CHANNEL, evidence_of, missing, structure_of

NOTHING = (0.0,) * len(FEATURES)


def bound_of(
    residuals: list[float], left_out: list[int] | None = None, weight: float = 1.0, best: float = 1.0
) -> Bound:
    parts = 1 + max(left_out or [0])
    count = len(residuals)
    where = tuple(left_out or [0] * count)
    subjects = round(count * weight)
    return Bound("L5", subjects, best, (0.0,) * parts, (7.0,) * parts, where, tuple(residuals), (weight,) * count)


def test_dice_goes_to_the_scale_and_back() -> None:
    for dice in (0.0, 0.001, 0.5, 0.93, 1.0):
        assert off_scale(on_scale(dice)) == pytest.approx(dice, abs=1e-12)
    assert on_scale(0.5) == pytest.approx(0) and on_scale(0) == pytest.approx(math.log(0.01 / 0.99))
    assert off_scale(-1e9) == 0.0 and off_scale(1e9) == 1.0


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


def sizes(usual: float = 1.0, spread: float = 0.5) -> Gauge:
    """Of voxels that are 3 x 1 x 1 mm, a tenth in the logarithm being a unit."""
    names = ("voxel size from bottom to top, mm", "voxel size from front to back, mm")
    return Gauge("size", names, (math.log(3), 0.0), (0.1, 0.1), (2.9, 1.0), (3.1, 1.0), usual, spread)


def test_the_oddest_quantity_counts_and_is_told() -> None:
    evidence = evidence_of({"L5": structure_of(0.9)}, spacing_mm=(3.0 * math.exp(0.1), math.exp(-0.4), 1.0))
    found = quantities(evidence, {})
    assert distance(sizes(), found["size"]) == pytest.approx(4)
    assert unusual(sizes(), found["size"]) == pytest.approx((4 - 1) / 0.5)
    # one unit off is 0, four are 6: a threshold between them tells of one alone
    said = promised(promise_of((), (sizes(),), 3.0), evidence)
    assert [flag.text for flag in said.flags] == ["voxel size from front to back, mm 0.67, and 1 in training"]
    assert said.oddness == pytest.approx(6) and said.threshold == 3.0
    assert promised(promise_of((), (sizes(),), 6.5), evidence).flags == ()


def test_quantities_that_go_together_are_measured_together() -> None:
    """Two that go along with each other by half: apart they are farther from the others than together."""
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    precision = tuple(map(tuple, np.linalg.inv(covariance).tolist()))
    names = ("part 1 of channel 1", "part 2 of channel 1")
    gauge = Gauge("layout", names, (0.0, 1 / 27), (1.0, 1.0), (0.0, 0.0), (1.0, 1.0), 0.0, 1.0, precision)
    for moved, squared in (((1.0, 1.0), 4 / 3), ((1.0, -1.0), 4.0), ((0.0, 0.0), 0.0)):
        layout = (CHANNEL.layout[0] + moved[0], CHANNEL.layout[1] + moved[1], *CHANNEL.layout[2:])
        evidence = evidence_of({"L5": structure_of(0.9)}, channels=(replace(CHANNEL, layout=layout),))
        assert distance(gauge, quantities(evidence, {})["layout"]) == pytest.approx(math.sqrt(squared / 2))
    lacking = quantities(evidence_of({"L5": structure_of(0.9)}, channels=(None,)), {})
    assert distance(gauge, lacking["layout"]) == 0  # a channel that is not there is not odd


def test_what_is_odd_on_one_side_alone() -> None:
    gauge = Gauge("certainty", ("L5: expected",), (on_scale(0.9),), (0.2,), (0.85,), (0.95,), 0.0, 1.0)
    low, high = (quantities(evidence_of({"L5": structure_of(dice)}), {}) for dice in (0.6, 0.99))
    assert distance(gauge, high["certainty"]) == 0 and distance(gauge, low["certainty"]) > 5
    assert distance(gauge, quantities(evidence_of({"L5": missing()}), {})["certainty"]) == 0
    said = promised(promise_of((), (gauge,), 1.0), evidence_of({"L5": structure_of(0.6)}))
    assert [(flag.structure, flag.text) for flag in said.flags] == [
        ("L5", "expected Dice 0.6, and 0.85 to 0.95 in training")
    ]


def test_disagreement_is_that_of_one_networks_mirrorings() -> None:
    one = evidence_of({"L5": structure_of(0.9, disagreement=0.3)})
    for evidence, there in ((one, True), (replace(one, networks=5), False)):
        value = quantities(evidence, {})["certainty"]["L5: disagreement"].value
        assert math.isnan(value) is not there


def test_anatomy_that_cannot_be() -> None:
    names = ("L5: found", "pairs with left and right swapped")
    gauge = Gauge("anatomy", names, (1.0, 0.0), (0.1, 0.15), (1.0, 0.0), (1.0, 0.0), 0.0, 0.5)
    promise = promise_of((), (gauge,), 2.0)
    assert promised(promise, evidence_of({"L5": structure_of(0.9)})).flags == ()
    said = promised(promise, evidence_of({"L5": missing()}, sides_swapped=1)).flags
    assert {(flag.structure, flag.text) for flag in said} == {
        ("L5", "not found, and there in the training"),
        (None, "pairs with left and right swapped 1, and 0 in training"),
    }
