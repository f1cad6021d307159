"""What is compared of a case, and on which scale."""

from __future__ import annotations

import math

import pytest

from autospine.planning.document.promise import KINDS
from autospine.planning.document.quantities import expected_on_scale, off_scale, on_scale, quantities
from tests.evidence import CHANNEL, evidence_of, missing, structure_of


def test_dice_goes_to_the_scale_and_back() -> None:
    for dice in (0.0, 0.001, 0.5, 0.93, 1.0):
        assert off_scale(on_scale(dice)) == pytest.approx(dice, abs=1e-12)
    assert on_scale(0.5) == pytest.approx(0) and on_scale(0) == pytest.approx(math.log(0.01 / 0.99))
    assert off_scale(-1e9) == 0.0 and off_scale(1e9) == 1.0


def test_each_kind_has_its_quantities_and_what_is_not_known_is_none() -> None:
    evidence = evidence_of(
        {"L5": structure_of(0.9, 100.0), "L4": missing()}, channels=(CHANNEL, None), levels_missing=2
    )
    found = quantities(evidence, {"L5": 2.0})
    assert tuple(found) == KINDS
    size = found["size"]["voxel size from bottom to top, mm"]
    assert (size.value, size.shown) == (pytest.approx(math.log(3)), 3.0)
    assert len(found["intensity"]) == 12 and len(found["layout"]) == 125
    assert found["certainty"]["L5: expected"].value == pytest.approx(expected_on_scale(structure_of(0.9)))
    assert found["certainty"]["L5: foretold"].value == 2.0 and found["certainty"]["L5: expected"].side == "low"
    assert found["anatomy"]["L5: volume"].value == pytest.approx(math.log(100))
    assert found["anatomy"]["levels missing between others"].value == 2
    unknown = ("expected", "entropy", "foretold")
    assert all(math.isnan(found["certainty"][f"L4: {name}"].value) for name in unknown)
    assert found["anatomy"]["L4: found"].value == 0 and math.isnan(found["anatomy"]["L4: islands"].value)
