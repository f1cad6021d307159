"""The disturbances of a previous stage's segmentation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.morphology import ball

from autospine.training import cascade
from autospine.training.cascade import close, dilate, disturb, erode, open_

Mask = np.ndarray


def blocks(shape: tuple[int, int, int] = (20, 22, 24)) -> np.ndarray:
    """Three classes one-hot: two blocks of the first, one of the second, none of the third."""
    channels = np.zeros((3, *shape), np.float32)
    channels[0, 2:6, 2:6, 2:6] = 1
    channels[0, 12:16, 12:16, 12:16] = 1
    channels[1, 6:10, 2:6, 2:6] = 1
    return channels


def always(monkeypatch: pytest.MonkeyPatch, *, operator: bool, removal: bool) -> None:
    monkeypatch.setattr(cascade, "P_OPERATOR", float(operator))
    monkeypatch.setattr(cascade, "P_REMOVAL", float(removal))
    monkeypatch.setattr(cascade, "P_PER_LABEL", 1.0)


@given(hnp.arrays(bool, (7, 6, 8), elements=st.booleans()), st.integers(1, 3))
def test_the_operators_are_those_of_a_ball(mask: Mask, radius: int) -> None:
    shape = ball(radius)
    slow: dict[Callable[[Mask, int], Mask], Mask] = {
        dilate: ndimage.binary_dilation(mask, shape),
        erode: ndimage.binary_erosion(mask, shape, border_value=1),
    }
    slow[open_] = ndimage.binary_dilation(slow[erode], shape)
    slow[close] = ndimage.binary_erosion(slow[dilate], shape, border_value=1)
    for operator, expected in slow.items():
        np.testing.assert_array_equal(operator(mask, radius), expected, err_msg=operator.__name__)


@given(st.integers(0, 2**31))
def test_a_reshaped_class_is_that_of_the_whole_patch(seed: int) -> None:
    """Working on a box around the class changes nothing, wherever the class lies."""
    rng = np.random.default_rng(seed)
    channels = np.zeros((2, 14, 15, 16), np.float32)
    low = rng.integers(0, 13, 3)
    high = low + rng.integers(1, 9, 3)
    channels[0][tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))] = rng.random() > 0.1
    mask = channels[0] > 0
    drawn = np.random.default_rng(seed + 1)
    operator = (dilate, erode, open_, close)[int(drawn.integers(4))]
    radius = int(drawn.integers(1, 9))
    cascade._reshape_class(channels, 0, np.random.default_rng(seed + 1))
    np.testing.assert_array_equal(channels[0] > 0, operator(mask, radius) if mask.any() else mask)


def test_a_voxel_keeps_at_most_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, operator=True, removal=False)
    grown = 0
    for seed in range(20):
        channels = blocks()
        disturb(channels, np.random.default_rng(seed))
        assert set(np.unique(channels)) <= {0.0, 1.0}
        assert channels.sum(0).max() <= 1
        assert not channels[2].any()
        grown += channels[0].sum() > blocks()[0].sum()
    assert 0 < grown < 20


def test_one_piece_of_a_class_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, operator=False, removal=True)
    left = set()
    for seed in range(10):
        channels = blocks()
        disturb(channels, np.random.default_rng(seed))
        assert channels[0].sum() == 64  # one of two blocks of 4 x 4 x 4
        assert channels[1].sum() == 0
        left.add(float(channels[0, 3, 3, 3]))
    assert left == {0.0, 1.0}


def test_voxels_that_touch_at_a_corner_are_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, operator=False, removal=True)
    channels = np.zeros((1, 10, 10, 10), np.float32)
    channels[0, 2, 2, 2] = channels[0, 3, 3, 3] = 1
    disturb(channels, np.random.default_rng(0))
    assert not channels.any()


def test_a_large_piece_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, operator=False, removal=True)
    for depth, kept in ((3, 300), (2, 200), (1, 0)):  # 0.3, 0.2 and 0.1 of 1000 voxels
        channels = np.zeros((1, 10, 10, 10), np.float32)
        channels[0, :depth] = 1
        disturb(channels, np.random.default_rng(0))
        assert channels.sum() == kept


def test_the_shares_of_samples_are_the_references() -> None:
    changed = 0
    for seed in range(400):
        channels = blocks()
        disturb(channels, np.random.default_rng(seed))
        changed += not np.array_equal(channels, blocks())
    # two classes, each with 0.5: 1 - (1 - 0.4 x 0.75) (1 - 0.2 x 0.75) = 0.405, less what an opening or closing leaves
    assert 0.28 < changed / 400 < 0.43


def test_the_same_draw_gives_the_same_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    always(monkeypatch, operator=True, removal=False)

    def disturbed(seed: int) -> bytes:
        channels = blocks()
        disturb(channels, np.random.default_rng(seed))
        return channels.tobytes()

    once, twice = ([disturbed(seed) for seed in range(10)] for _ in range(2))
    assert once == twice
    assert len(set(once)) > 5  # small blocks are often opened or eroded to nothing
