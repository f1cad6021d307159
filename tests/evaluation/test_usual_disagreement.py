from __future__ import annotations

import numpy as np
import pytest

from autospine.evaluation.disagreement import CaseDisagreement, Patch, Shape, StructureDisagreement
from autospine.evaluation.usual_disagreement import LEAST_ROUGHNESS, Moves, Usual
from tests.columns import column, disagreement


def test_names_under_which_both_agree_best() -> None:
    swapped = Moves.of(np.array([[0.0, 0.8, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 0.7]]))
    assert swapped.pairs == ((0, 1), (1, 0))
    assert swapped.before == pytest.approx(0.05) and swapped.after == pytest.approx(0.85)
    row = Moves.of(np.array([[0.1, 0.8, 0.0], [0.0, 0.1, 0.8], [0.0, 0.0, 0.1]]))
    assert row.pairs == ((0, 1), (1, 2))


def test_names_stay_where_they_are_as_good() -> None:
    assert Moves.of(np.eye(3)).pairs == ()
    assert Moves.of(np.array([[0.4, 0.45], [0.45, 0.4]])).pairs == ()  # half a level up: as much of either
    assert Moves.of(np.array([[np.nan, np.nan], [np.nan, 0.9]])).pairs == ()


@pytest.fixture(scope="module")
def usual() -> Usual:
    cases = tuple(disagreement(column(number), number) for number in range(6))
    expected = np.full((6, 3), 0.9)
    expected[2, 1], expected[3, 1], expected[4, 1] = 0.45, 0.09, np.nan
    return Usual(cases, tuple("aabcde"), expected)


def test_confidence_is_beside_what_is_usual(usual: Usual) -> None:
    assert usual.confidence(0, (1,)) == pytest.approx(1.0)
    assert usual.confidence(2, (1,)) == pytest.approx(0.25)
    assert usual.confidence(3, (1,)) == pytest.approx(0.09)  # no less than UNSURE
    assert usual.confidence(4, (1,)) == 1.0
    assert usual.confidence(2, (0, 1)) == pytest.approx(0.75**2)


def test_presence_and_pieces(usual: Usual) -> None:
    assert usual.presence(0, 1) == 1.0
    sizes = [case.structures[0].reference.volume_mm3 for case in usual.cases]
    assert min(sizes) <= usual.usual_pieces_mm3[0] <= max(sizes)
    shares, z = usual.lacking
    assert shares.shape == z.shape == (6, 3) and (shares >= 0).all()


def test_roughness_is_beside_other_masks_and_beside_the_prediction() -> None:
    def case(mask: float, prediction: float) -> CaseDisagreement:
        shapes = [Shape(100.0, (0.0, 0.0, 0.0), (jumps,) * 3, (100.0,)) for jumps in (mask, prediction)]
        one = StructureDisagreement(0.9, *shapes, None, Patch(0.0, False), Patch(0.0, False), 0.0, 0.0)
        return CaseDisagreement((one,), np.ones((1, 1)), None)

    cases = [case(0.015, 0.015) for _ in range(5)]
    both, alike, smooth = case(0.095, 0.015), case(0.095, 0.095), case(0.015, 0.0)
    for odd, times in ((both, 5.0), (alike, 1.0), (smooth, 1.0)):
        excess, z = Usual((*cases, odd), tuple("abcdef"), np.full((6, 1), np.nan)).rough
        assert excess.shape == z.shape == (6, 2, 3)  # the structure, and all together
        np.testing.assert_allclose(excess[5], np.log(times), atol=1e-9)
        np.testing.assert_allclose(z[5], np.log(times) / LEAST_ROUGHNESS, atol=1e-9)
