from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autospine.planning.document.evidence import LAYOUT
from autospine.workflow.steps.scan_features import GROUPS, expected_dice, features_of, flaws, uncertainty_signs
from tests.evidence import CHANNEL, evidence_of, missing, structure_of

BOTH = {"upper": structure_of(0.9, 1000.0), "lower": structure_of(0.7, math.e - 1, entropy=0.4, disagreement=0.1)}
CASE = evidence_of(BOTH, size_mm=(math.e, 1.0, 1.0))
NAMES = ("upper", "lower", "disc")


def test_groups_of_numbers() -> None:
    found = features_of([CASE], 1, NAMES)
    assert tuple(found) == GROUPS
    assert found["intensities"][0].tolist() == [*CHANNEL.percentiles, CHANNEL.background]
    assert found["texture"][0].tolist() == [0.4, 0.3, 0.2, 0.05] and found["layout"].shape == (1, LAYOUT**3)
    assert found["size"][0].tolist() == pytest.approx([1, 0, 0, math.log(3), 0, 0])
    np.testing.assert_allclose(found["structures"], [[math.log(1001), 1, math.nan]])


def test_a_channel_that_a_case_lacks() -> None:
    lacking = replace(CASE, channels=(CHANNEL, None))
    found = features_of([replace(CASE, channels=(CHANNEL, CHANNEL)), lacking, CASE], 2, ())
    assert found["intensities"].shape == (3, 16) and found["structures"].shape == (3, 0)
    assert np.isnan(found["intensities"]).sum(axis=1).tolist() == [0, 8, 8]


def test_what_speaks_of_uncertainty() -> None:
    empty = evidence_of({"upper": missing(), "lower": missing()})
    dice, entropy, disagreement = uncertainty_signs([CASE, empty], NAMES)
    assert dice[0] == pytest.approx(0.2) and math.isnan(dice[1])
    assert entropy == pytest.approx([0.3, 0.9])
    assert disagreement[0] == pytest.approx(0.1) and math.isnan(disagreement[1])
    flawed = replace(CASE, levels_missing=1, sides_swapped=2)
    assert flaws(flawed) == 3 and flaws(CASE) == 0
    assert uncertainty_signs([CASE, flawed], NAMES)[3].tolist() == [0, 3]
    assert expected_dice(CASE, NAMES) == pytest.approx(0.8) and expected_dice(CASE, ("lower",)) == pytest.approx(0.7)
