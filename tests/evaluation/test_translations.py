from __future__ import annotations

import numpy as np
import pytest

from autospine.evaluation import translations
from autospine.evaluation.translations import best_translation


def block(shape: tuple[int, ...], *sides: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def test_a_block_is_brought_onto_itself_in_millimetres() -> None:
    first = block((12, 20, 30), (3, 6), (4, 10), (5, 12))
    second = block((12, 20, 30), (4, 7), (2, 8), (9, 16))
    found = best_translation([first], [second], (4.0, 1.0, 0.5))
    assert found is not None
    assert found.millimetres == (4.0, -2.0, 2.0)
    # 2 of 3 rows, 4 of 6, 3 of 7 lie on each other: 2 * 24 / (126 + 126)
    assert found.before == pytest.approx(48 / 252)
    assert found.after == 1.0
    assert found.length_mm == pytest.approx(24**0.5)


def test_structures_move_together() -> None:
    """Two pairs want 3 rows, one wants none: the mean is highest with the two."""
    shape = (20, 9, 9)
    first = [block(shape, (low, low + 4), (2, 7), (2, 7)) for low in (1, 6, 13)]
    second = [block(shape, (low, low + 4), (2, 7), (2, 7)) for low in (4, 9, 13)]
    found = best_translation(first, second, (1.0, 1.0, 1.0))
    assert found is not None and found.millimetres == (3.0, 0.0, 0.0)
    assert found.before == pytest.approx((0.25 + 0.25 + 1) / 3)
    assert found.after == pytest.approx((1 + 1 + 0.25) / 3)


def test_equal_masks_stay_and_absent_ones_have_no_translation() -> None:
    mask = block((5, 6, 7), (1, 3), (1, 4), (2, 6))
    found = best_translation([mask], [mask], (1.0, 1.0, 1.0))
    assert found is not None and found.millimetres == (0.0, 0.0, 0.0) and found.before == found.after == 1.0
    assert best_translation([mask], [np.zeros_like(mask)], (1.0, 1.0, 1.0)) is None
    alone = best_translation([mask, mask], [mask, np.zeros_like(mask)], (1.0, 1.0, 1.0))
    assert alone is not None and alone.before == 1.0


def test_thinned_out_it_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first = block((9, 40, 44), (2, 6), (8, 22), (9, 25)) & (rng.random((9, 40, 44)) > 0.05)
    second = np.roll(first, (1, 5, -3), (0, 1, 2))
    whole = best_translation([first], [second], (4.0, 1.0, 1.0))
    monkeypatch.setattr(translations, "SEARCHED_VOXELS", 600)
    thinned = best_translation([first], [second], (4.0, 1.0, 1.0))
    assert whole == thinned
    assert whole is not None and whole.millimetres == (4.0, 5.0, -3.0) and whole.after == 1.0


def test_a_slice_has_no_way_through_it() -> None:
    first, second = block((1, 12, 9), (0, 1), (1, 5), (2, 7)), block((1, 12, 9), (0, 1), (4, 8), (2, 7))
    found = best_translation([first], [second], (1.0, 2.0, 1.0))
    assert found is not None and found.millimetres == (0.0, 6.0, 0.0) and found.after == 1.0
