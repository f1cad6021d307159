"""Labels and network outputs: bit-equal to the slow way, ties too, in bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom
from skimage.transform import resize

from autospine.errors import PlanError
from autospine.planning.document.parts import ResamplingPlan
from autospine.preprocessing import resample_labels
from autospine.preprocessing.resample import Regrid, nearest_slices
from autospine.preprocessing.resample_labels import (
    Passage,
    Stream,
    Strip,
    argmax_on_grid,
    positive_on_grid,
    resample_label,
)

PLAN = ResamplingPlan()
FINE = (1.0, 1.0, 1.0)
Array = npt.NDArray[Any]
SHAPES = [
    ((8, 10, 12), (16, 20, 24)),
    ((8, 10, 12), (4, 5, 6)),
    ((9, 12, 7), (5, 19, 7)),
    ((10, 10, 10), (8, 25, 4)),
    ((1, 9, 6), (3, 6, 9)),
    ((6, 9, 2), (4, 1, 3)),
]


def slow_label(label: Array, shape: tuple[int, ...]) -> Array:
    """One resize per class, taken where it reaches 0.5; later classes overwrite earlier ones."""
    result = np.zeros(shape, np.uint8)
    for value in np.unique(label):
        share = resize((label == value).astype(np.float64), shape, 1, mode="edge", anti_aliasing=False)
        result[share >= 0.5] = value
    return result


def slow_argmax(logits: Array, shape: tuple[int, ...]) -> Array:
    """Every class on the new grid in float64, then the largest."""
    full = [resize(channel.astype(np.float64), shape, 1, mode="edge", anti_aliasing=False) for channel in logits]
    return np.argmax(np.stack(full), axis=0).astype(np.uint8)


def slow_argmax_unclipped(logits: Array, shape: tuple[int, ...]) -> Array:
    """As above without the range clip, which linear interpolation needs for its rounding errors only."""
    factors = [new / old for new, old in zip(shape, logits.shape[1:], strict=True)]
    full = [zoom(channel.astype(np.float64), factors, order=1, mode="nearest", grid_mode=True) for channel in logits]
    return np.argmax(np.stack(full), axis=0).astype(np.uint8)


def blobs(shape: tuple[int, ...], classes: int, seed: int) -> Array:
    """Regions of a few voxels each, all classes touching all others."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, tuple(-(-size // 3) for size in shape))
    for axis in range(3):
        coarse = coarse.repeat(3, axis)
    return coarse[tuple(slice(0, size) for size in shape)].astype(np.uint8)


@pytest.mark.parametrize(("old", "new"), SHAPES)
@pytest.mark.parametrize("classes", [2, 6])
def test_labels_equal_one_resize_per_class(old: tuple[int, ...], new: tuple[int, ...], classes: int) -> None:
    for label in (
        blobs(old, classes, 1),
        np.random.default_rng(2).integers(0, classes, old).astype(np.uint8),
        np.zeros(old, np.uint8),
    ):
        result = resample_label(label, Regrid(new, FINE, FINE, PLAN))
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, slow_label(label, new))


@given(st.tuples(*[st.integers(1, 10)] * 3), st.tuples(*[st.integers(1, 14)] * 3), st.integers(0, 2**16))
def test_labels_equal_the_slow_way_on_any_shape(old: Any, new: Any, seed: int) -> None:
    label = np.random.default_rng(seed).integers(0, 3, old).astype(np.uint8)
    np.testing.assert_array_equal(resample_label(label, Regrid(new, FINE, FINE, PLAN)), slow_label(label, new))


def test_the_higher_class_wins_a_tie() -> None:
    # halving puts every sample midway between two voxels: both classes reach exactly 0.5
    label = np.array([1, 3, 2, 0, 0, 2, 4, 4], np.uint8).reshape(1, 1, 8)
    assert resample_label(label, Regrid((1, 1, 4), FINE, FINE, PLAN)).ravel().tolist() == [3, 2, 2, 4]


def test_no_class_that_reaches_half_is_background() -> None:
    # four classes with a quarter each
    label = np.array([[1, 2], [3, 4]], np.uint8).reshape(1, 2, 2)
    assert resample_label(label, Regrid((1, 1, 1), FINE, FINE, PLAN)).ravel().tolist() == [0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_labels_take_the_nearest_slice_along_a_coarse_axis(axis: int) -> None:
    old, new = [12, 14, 9], [17, 10, 13]
    old[axis], new[axis] = 6, 11
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 5.0
    label = blobs(tuple(old), 4, 3)
    plane = tuple(size for other, size in enumerate(new) if other != axis)
    slices = np.stack([slow_label(piece, plane) for piece in np.moveaxis(label, axis, 0)], axis)
    expected = slices.take(nearest_slices(6, 11), axis)
    np.testing.assert_array_equal(resample_label(label, Regrid(new, spacing, spacing, PLAN)), expected)


def test_order_zero_takes_the_nearest_voxel() -> None:
    label = blobs((7, 9, 8), 5, 4)
    plan = ResamplingPlan(order_label=0, order_probability=0)
    expected = resize(label.astype(np.float64), (11, 5, 13), 0, mode="edge", anti_aliasing=False)
    way = Regrid((11, 5, 13), FINE, FINE, plan)
    np.testing.assert_array_equal(resample_label(label, way), expected.astype(np.uint8))
    logits = np.eye(5, dtype=np.float32)[label].transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(argmax_on_grid(logits, way), expected.astype(np.uint8))


def test_other_orders_are_refused() -> None:
    with pytest.raises(PlanError, match="order 3"):
        resample_label(np.zeros((2, 2, 2), np.uint8), Regrid((3, 3, 3), FINE, FINE, ResamplingPlan(order_label=3)))


def test_an_unchanged_shape_is_returned_as_it_is() -> None:
    label = blobs((4, 5, 6), 3, 5)
    assert resample_label(label, Regrid((4, 5, 6), FINE, FINE, PLAN)) is label


@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_winners_equal_the_full_buffer(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    for classes in (2, 5):
        noise = rng.normal(size=(classes, *old)).astype(np.float32)
        smooth = noise + 4 * np.eye(classes, dtype=np.float32)[blobs(old, classes, 7)].transpose(3, 0, 1, 2)
        for logits in (noise, smooth):
            result = argmax_on_grid(logits, Regrid(new, FINE, FINE, PLAN))
            assert result.dtype == np.uint8
            np.testing.assert_array_equal(result, slow_argmax(logits, new))


@given(st.tuples(*[st.integers(1, 10)] * 3), st.tuples(*[st.integers(1, 14)] * 3), st.integers(0, 2**16))
def test_tied_winners_equal_the_full_buffer(old: Any, new: Any, seed: int) -> None:
    # whole numbers: ties within corners and midway between them are frequent
    logits = np.random.default_rng(seed).integers(-2, 3, (4, *old)).astype(np.float32)
    np.testing.assert_array_equal(
        argmax_on_grid(logits, Regrid(new, FINE, FINE, PLAN)), slow_argmax_unclipped(logits, new)
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_winners_take_the_nearest_slice_along_a_coarse_axis(axis: int) -> None:
    old, new = [12, 14, 9], [17, 10, 13]
    old[axis], new[axis] = 6, 11
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = 5.0
    logits = np.random.default_rng(8).normal(size=(3, *old)).astype(np.float32)
    plane = tuple(size for other, size in enumerate(new) if other != axis)
    slices = [slow_argmax(piece, plane) for piece in np.moveaxis(logits, axis + 1, 0)]
    expected = np.stack(slices, axis).take(nearest_slices(6, 11), axis)
    np.testing.assert_array_equal(argmax_on_grid(logits, Regrid(new, spacing, spacing, PLAN)), expected)


def test_winners_of_a_strided_half_precision_array() -> None:
    logits = np.random.default_rng(9).normal(size=(5, 8, 6, 3)).astype(np.float16).transpose(3, 0, 1, 2)
    expected = slow_argmax(logits.astype(np.float32), (9, 5, 11))
    np.testing.assert_array_equal(argmax_on_grid(logits, Regrid((9, 5, 11), FINE, FINE, PLAN)), expected)


def test_slabs_and_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    label = np.random.default_rng(10).integers(0, 4, (9, 8, 7)).astype(np.uint8)
    logits = np.random.default_rng(11).normal(size=(3, 9, 8, 7)).astype(np.float32)
    shape = (14, 13, 12)
    way = Regrid(shape, FINE, FINE, PLAN)
    labels, winners = resample_label(label, way), argmax_on_grid(logits, way)
    monkeypatch.setattr(resample_labels, "_SLAB_VOXELS", 2 * 13 * 12)
    monkeypatch.setattr(resample_labels, "BLOCK_VOXELS", 17)
    np.testing.assert_array_equal(resample_label(label, way), labels)
    np.testing.assert_array_equal(argmax_on_grid(logits, way), winners)


def test_memory_does_not_grow_with_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    slab, block = 1 << 16, 1 << 13
    monkeypatch.setattr(resample_labels, "_SLAB_VOXELS", slab)
    monkeypatch.setattr(resample_labels, "PIECE_VOXELS", slab)
    monkeypatch.setattr(resample_labels, "BLOCK_VOXELS", block)
    classes, shape = 8, (40, 160, 160)
    label = blobs((12, 40, 40), classes, 12)
    logits = 3 * np.eye(classes, dtype=np.float32)[label].transpose(3, 0, 1, 2).copy()
    tracemalloc.start()
    try:
        argmax_on_grid(logits, Regrid(shape, FINE, FINE, PLAN))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    voxels = int(np.prod(shape))
    full_buffer = 8 * classes * voxels
    # the result, a slab's copies and indices, a block of interfaces
    bound = 2 * voxels + 12 * slab + 500 * block
    assert peak < bound < full_buffer / 8


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (0, 2, 3, 1)])
@pytest.mark.parametrize("cut", [slice(None), slice(2, -1)])
def test_logits_that_are_turned_or_cut_are_not_copied(axes: tuple[int, ...], cut: slice) -> None:
    whole = np.random.default_rng(3).normal(size=(12, 30, 32, 28)).astype(np.float32)
    logits = whole.transpose(axes)[:, cut, cut, cut]
    shape = tuple(int(size * 1.3) for size in logits.shape[1:])
    expected = argmax_on_grid(np.ascontiguousarray(logits), Regrid(shape, FINE, FINE, PLAN))
    np.testing.assert_array_equal(argmax_on_grid(logits, Regrid(shape, FINE, FINE, PLAN)), expected)
    tracemalloc.start()
    try:
        argmax_on_grid(logits, Regrid(logits.shape[1:], FINE, FINE, PLAN))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < logits.nbytes / 2


def test_flipped_logits_come_out_as_if_copied() -> None:
    logits = np.random.default_rng(3).normal(size=(3, 6, 8, 7)).astype(np.float32)[:, ::-1, :, ::-1]
    np.testing.assert_array_equal(
        argmax_on_grid(logits, Regrid((8, 8, 9), FINE, FINE, PLAN)),
        argmax_on_grid(np.ascontiguousarray(logits), Regrid((8, 8, 9), FINE, FINE, PLAN)),
    )


@pytest.mark.parametrize(("old", "new"), SHAPES)
def test_what_is_above_zero_is_what_wins_against_zero(old: tuple[int, ...], new: tuple[int, ...]) -> None:
    logit = np.random.default_rng(5).normal(size=old).astype(np.float32)
    logit[:, :3] = 0  # no yes
    against = np.stack((np.zeros_like(logit), logit))
    found = positive_on_grid(logit, Regrid(new, FINE, FINE, PLAN))
    np.testing.assert_array_equal(found, argmax_on_grid(against, Regrid(new, FINE, FINE, PLAN)) > 0)


def test_strips_share_the_column_that_their_last_one_is_interpolated_with() -> None:
    assert Strip.of(10, 3) == (Strip(0, 3, 4), Strip(3, 7, 8), Strip(7, 10, 10))
    assert Strip.of(10, 1) == (Strip(0, 10, 10),)
    assert [strip.columns for strip in Strip.of(2, 5)] == [slice(0, 2), slice(1, 2)]
    assert Strip.of(10, 3)[1].alone == Strip(3, 7, 7)


def test_a_row_between_two_slabs_waits_for_the_second() -> None:
    """Three rows become six: those at 1/4 and 3/4 between rows 1 and 2 need both."""
    stream = Stream(Passage.of((3, 1, 1), Regrid((6, 1, 1), FINE, FINE, PLAN), 1))
    values = np.arange(3.0).reshape(1, 3, 1, 1)
    first = [(piece.place[0], piece.values.ravel().tolist()) for piece in stream.pieces(0, values[:, :2])]
    assert first == [(slice(0, 3), [0.0, 1.0])]
    then = [(piece.place[0], piece.values.ravel().tolist()) for piece in stream.pieces(2, values[:, 2:])]
    assert then == [(slice(3, 5), [1.0, 2.0]), (slice(5, 6), [2.0])]
