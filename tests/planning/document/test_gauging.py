"""How far a case is from others, and what is told of it, by gauges whose numbers are known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autospine.planning.document.gauging import distance, gains, unusual
from autospine.planning.document.promise import FEATURES, Gauge, Promise
from autospine.planning.document.promised import promised
from autospine.planning.document.quantities import on_scale, quantities
from tests.evidence import CHANNEL, evidence_of, missing, structure_of


def promise_of(gauge: Gauge, threshold: float) -> Promise:
    """One that has nothing but a gauge."""
    return Promise("0", 0.9, 1.0, ("0",), 9, 9, FEATURES, (), (), (gauge,), threshold, 0.05)


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
    said = promised(promise_of(sizes(), 3.0), evidence)
    assert [flag.text for flag in said.flags] == ["voxel size from front to back, mm 0.67, and 1 in training"]
    assert said.oddness == pytest.approx(6) and said.threshold == 3.0
    assert promised(promise_of(sizes(), 6.5), evidence).flags == ()


def test_quantities_that_go_together_are_measured_together() -> None:
    """Two that go along with each other by half: apart they are farther from the others than together."""
    # of [[1, .5], [.5, 1]] the variance is 1.5 along (1, 1) and .5 across it
    half = math.sqrt(0.5)
    names = ("part 1 of channel 1", "part 2 of channel 1")
    centres = (CHANNEL.layout[0], CHANNEL.layout[1])
    gauge = Gauge(
        "layout", names, centres, (1.0, 1.0), (0.0, 0.0), (1.0, 1.0), 0.0, 1.0, ((half, half),), (2 / 3,), 2.0
    )
    for moved, squared in (((1.0, 1.0), 4 / 3), ((1.0, -1.0), 4.0), ((0.0, 0.0), 0.0)):
        layout = (CHANNEL.layout[0] + moved[0], CHANNEL.layout[1] + moved[1], *CHANNEL.layout[2:])
        evidence = evidence_of({"L5": structure_of(0.9)}, channels=(replace(CHANNEL, layout=layout),))
        assert distance(gauge, quantities(evidence, {})["layout"]) == pytest.approx(math.sqrt(squared / 2))
    lacking = quantities(evidence_of({"L5": structure_of(0.9)}, channels=(None,)), {})
    assert distance(gauge, lacking["layout"]) == 0  # a channel that is not there is not odd


def test_an_image_that_would_be_nearer_flipped_is_told_which_way() -> None:
    """The others are brighter towards the top; from right to left an image has no orientation here."""
    planes = np.zeros((5, 5, 5))
    planes[:] = np.arange(5).reshape(5, 1, 1)
    centres = tuple(planes.ravel().tolist())
    names = tuple(f"part {place} of channel 1" for place in range(1, 126))
    lists = (centres, (1.0,) * 125, centres, centres)
    unit = tuple(float(place == 0) for place in range(125))
    gauge = Gauge("orientation", names, *lists, 0.0, 0.1, (unit,), (1.0,), 1.0, (0, 1))
    upright, turned = (
        evidence_of({"L5": structure_of(0.9)}, channels=(replace(CHANNEL, layout=tuple(one.ravel().tolist())),))
        for one in (planes, planes[::-1])
    )
    # every part is 4, 2, 0, 2 or 4 off: in the root of the mean square 8 ** 0.5
    off = math.log((8**0.5 + 0.2) / 0.2)
    assert gains(gauge, quantities(upright, {})["orientation"]) == pytest.approx((-off, 0, 0))
    assert gains(gauge, quantities(turned, {})["orientation"]) == pytest.approx((off, 0, 0))
    assert distance(gauge, quantities(upright, {})["orientation"]) == 0
    (flag,) = promised(promise_of(gauge, 3.0), turned).flags
    assert flag.text == "it would look more like the training flipped from bottom to top"
    sideways = replace(gauge, axes=(2,))
    assert promised(promise_of(sideways, 3.0), turned).flags == ()


def test_what_is_odd_on_one_side_alone() -> None:
    gauge = Gauge("certainty", ("L5: expected",), (on_scale(0.9),), (0.2,), (0.85,), (0.95,), 0.0, 1.0)
    low, high = (quantities(evidence_of({"L5": structure_of(dice)}), {}) for dice in (0.6, 0.99))
    assert distance(gauge, high["certainty"]) == 0 and distance(gauge, low["certainty"]) > 5
    assert distance(gauge, quantities(evidence_of({"L5": missing()}), {})["certainty"]) == 0
    said = promised(promise_of(gauge, 1.0), evidence_of({"L5": structure_of(0.6)}))
    assert [(flag.structure, flag.text) for flag in said.flags] == [
        ("L5", "expected Dice 0.6, and 0.85 to 0.95 in training")
    ]


def test_anatomy_that_cannot_be() -> None:
    names = ("L5: found", "pairs with left and right swapped")
    gauge = Gauge("anatomy", names, (1.0, 0.0), (0.1, 0.15), (1.0, 0.0), (1.0, 0.0), 0.0, 0.5)
    promise = promise_of(gauge, 2.0)
    assert promised(promise, evidence_of({"L5": structure_of(0.9)})).flags == ()
    said = promised(promise, evidence_of({"L5": missing()}, sides_swapped=1)).flags
    assert {(flag.structure, flag.text) for flag in said} == {
        ("L5", "not found, and there in the training"),
        (None, "pairs with left and right swapped 1, and 0 in training"),
    }


def test_whatever_a_stranger_s_scales_are_distances_are_numbers() -> None:
    """Next to nothing, beside variances that are as small."""
    names = tuple(f"part {place} of channel 1" for place in range(1, 126))
    lists = ((0.5,) * 125, (1e-300,) * 125, (0.0,) * 125, (1.0,) * 125)
    unit = tuple(1e50 * (place == 0) for place in range(125))
    gauge = Gauge("orientation", names, *lists, 0.0, 1e-300, (unit,), (1e50,), 1e50, (0, 1, 2))
    evidence = evidence_of({"L5": structure_of(0.9)})
    assert all(math.isfinite(gained) for gained in gains(gauge, quantities(evidence, {})["orientation"]))
    oddness = promised(promise_of(gauge, 0.0), evidence).oddness
    assert oddness is not None and math.isfinite(oddness)
