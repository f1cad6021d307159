from __future__ import annotations

import numpy as np

from autospine.evaluation.disagreement import measure_disagreement
from autospine.evaluation.plausibility import Plausibility
from tests.columns import SLICES, SPACING_MM, Labels, column, predicted

MEMBERS = ((1,), (2,), (3,))
ORDER = np.array([0, 1, 3, 2], np.uint8)
ALL = (0, 1, 2)


def study(mask: Labels, prediction: Labels) -> Plausibility:
    """Eight cases, of which the first is these."""
    pairs = [(mask, prediction), *((column(number), predicted(column(number), number)) for number in range(1, 8))]
    cases = [measure_disagreement(one, other, MEMBERS, SPACING_MM, SLICES) for one, other in pairs]
    return Plausibility.of(cases, [f"s{number}" for number in range(8)])


def test_the_map_that_is_out_of_order_is_blamed() -> None:
    mask, prediction = column(0), predicted(column(0), 0)
    assert study(ORDER[mask], prediction).blame(0, (1, 2)) == 1.0
    assert study(mask, ORDER[prediction]).blame(0, (1, 2)) < 0.4
    assert study(mask, prediction).blame(0, ALL) > 0.7


def test_a_structure_of_an_odd_size() -> None:
    mask, prediction = column(0), predicted(column(0), 0)
    crumb = prediction.copy()
    crumb[crumb == 2] = 0
    crumb[28:32, 8:10, 3:5] = 2
    assert study(mask, crumb).blame(0, (1,)) < 0.3
    assert study(crumb, prediction).blame(0, (1,)) == 1.0


def test_what_every_other_mask_has_is_missed() -> None:
    mask, prediction = column(0), predicted(column(0), 0)
    lacking = np.where(mask == 2, 0, mask).astype(np.uint8)
    assert study(lacking, prediction).blame(0, (1,)) == 1.0
    short = np.where(prediction == 2, 0, prediction).astype(np.uint8)
    alone, beside = (study(mask, short).blame(0, held) for held in ((1,), (0,)))
    assert alone < 0.4 and alone < beside < 0.7
