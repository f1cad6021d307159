"""Images: the operator matrices against the whole-volume routine that the reference calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from skimage.transform import resize

from autospine.planning.document.parts import ResamplingPlan
from autospine.preprocessing.resample import (
    Regrid,
    nearest_slices,
    operator,
    resample_image,
    resize_channel,
    through_plane_axis,
)

PLAN = ResamplingPlan()
Array = npt.NDArray[Any]


def slow_resize(volume: Array, shape: tuple[int, ...], order: int = 3) -> Array:
    return resize(volume.astype(np.float64), shape, order, mode="edge", anti_aliasing=False, preserve_range=True)


def slow_separate(volume: Array, shape: tuple[int, ...], axis: int, order: int = 3) -> Array:
    """Slice by slice along `axis`, then the nearest slice, each coordinate spelled out."""
    plane = tuple(size for other, size in enumerate(shape) if other != axis)
    slices = [slow_resize(piece, plane, order) for piece in np.moveaxis(volume, axis, 0)]
    stack = np.stack(slices, axis)
    scales = [old / new for old, new in zip(stack.shape, shape, strict=True)]
    grid = np.mgrid[tuple(slice(0, size) for size in shape)].astype(np.float64)
    points = np.array([scale * (index + 0.5) - 0.5 for scale, index in zip(scales, grid, strict=True)])
    return map_coordinates(stack, points, order=0, mode="nearest")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((9, 13, 17), (18, 20, 9)),
        ((20, 31, 12), (10, 31, 29)),
        ((5, 40, 33), (7, 27, 50)),
        ((1, 8, 5), (3, 5, 8)),
        ((4, 6, 2), (1, 1, 3)),
        ((13, 30, 30), (26, 24, 37)),
    ],
)
@pytest.mark.parametrize("order", [0, 1, 3])
def test_equals_the_whole_volume_routine(old: tuple[int, ...], new: tuple[int, ...], order: int) -> None:
    volume = np.random.default_rng(1).normal(size=old) * 100
    ours = resize_channel(volume, new, order)
    assert ours.dtype == np.float64
    assert np.abs(ours - slow_resize(volume, new, order)).max() < 1e-9


@given(st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.integers(1, 16)] * 3), st.integers(0, 2**16))
def test_equals_the_whole_volume_routine_on_any_shape(old: Any, new: Any, seed: int) -> None:
    volume = np.random.default_rng(seed).normal(size=old)
    assert np.abs(resize_channel(volume, new, 3) - slow_resize(volume, new)).max() < 1e-9


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("slices", [4, 7, 13])
def test_a_coarse_axis_is_treated_apart(axis: int, slices: int) -> None:
    shape, new = [15, 18, 21], [22, 16, 30]
    shape[axis], new[axis] = 7, slices
    spacing, target = [1.0, 1.1, 0.9], [0.9, 1.0, 0.8]
    spacing[axis] = target[axis] = 4.5
    volume = np.random.default_rng(2).normal(size=shape)
    expected = slow_separate(volume, tuple(new), axis)
    assert np.abs(resize_channel(volume, new, 3, apart=axis) - expected).max() < 1e-9
    result = resample_image(volume[None], Regrid(new, spacing, target, PLAN))
    np.testing.assert_allclose(result[0], expected, atol=1e-6)


def test_the_clip_is_per_slice_where_slices_stand_alone() -> None:
    volume = np.zeros((2, 12, 12))
    volume[0, :, 6:] = 1.0
    volume[1] = 50 * np.random.default_rng(3).normal(size=(12, 12))
    apart = resize_channel(volume, (2, 30, 30), 3, apart=0)
    together = resize_channel(volume, (2, 30, 30), 3)
    assert (apart[0].min(), apart[0].max()) == (0.0, 1.0)
    assert together[0].max() > 1.0


def test_a_line_through_the_coarse_axis_may_be_interpolated() -> None:
    ramp = np.broadcast_to(np.arange(8.0)[:, None, None], (8, 5, 6))
    plan = ResamplingPlan(order_through_plane=1)
    result = resample_image(ramp[None], Regrid((16, 5, 6), (6, 1, 1), (3, 1, 1), plan))
    # samples lie at (i + 0.5) / 2 - 0.5, edges repeated
    expected = np.clip((np.arange(16) + 0.5) / 2 - 0.5, 0, 7)
    np.testing.assert_allclose(result[0, :, 2, 3], expected, atol=1e-6)


def test_channels_do_not_mix_and_stay_in_their_range() -> None:
    rng = np.random.default_rng(4)
    image = np.stack([rng.uniform(0, 1, (6, 9, 11)), rng.uniform(500, 900, (6, 9, 11))]).astype(np.float32)
    result = resample_image(image, Regrid((11, 7, 17), (2, 1, 1), (1, 1.3, 0.7), PLAN))
    assert result.dtype == np.float32
    assert result.shape == (2, 11, 7, 17)
    for before, after in zip(image, result, strict=True):
        assert before.min() <= after.min() <= after.max() <= before.max()
        np.testing.assert_allclose(after, slow_resize(before, (11, 7, 17)), rtol=1e-6)


def test_an_unchanged_shape_is_returned_as_it_is() -> None:
    image = np.random.default_rng(5).normal(size=(1, 4, 5, 6)).astype(np.float32)
    assert resample_image(image, Regrid((4, 5, 6), (1, 1, 1), (1.01, 1, 1), PLAN)) is image


def test_a_constant_stays_constant() -> None:
    image = np.full((1, 5, 6, 7), 3.25, np.float32)
    np.testing.assert_array_equal(
        resample_image(image, Regrid((9, 4, 13), (1, 1, 1), (0.6, 1.4, 0.5), PLAN)), np.full((1, 9, 4, 13), 3.25)
    )


def test_axes_may_be_permuted_before_or_after() -> None:
    image = np.random.default_rng(6).normal(size=(1, 5, 9, 8)).astype(np.float32)
    there = resample_image(image, Regrid((11, 7, 13), (4.5, 1, 1), (2, 1.3, 0.6), PLAN))
    turned = image.transpose(0, 3, 1, 2)
    result = resample_image(turned, Regrid((13, 11, 7), (1, 4.5, 1), (0.6, 2, 1.3), PLAN))
    np.testing.assert_allclose(result, there.transpose(0, 3, 1, 2), atol=1e-6)


def test_operators_are_shared_and_read_only() -> None:
    matrix = operator(7, 11, 3)
    assert matrix is operator(7, 11, 3)
    assert matrix.shape == (11, 7)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1


def test_nearest_slices_by_hand() -> None:
    # 2 -> 4: samples at -0.25 0.25 0.75 1.25;  6 -> 3: 0.5 2.5 4.5, and half rounds up
    assert nearest_slices(2, 4).tolist() == [0, 0, 1, 1]
    assert nearest_slices(6, 3).tolist() == [1, 3, 5]
    assert nearest_slices(5, 5).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("spacing", "target", "axis"),
    [
        ((4.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0),
        ((1.0, 1.0, 1.0), (1.0, 3.5, 1.0), 1),
        ((1.0, 1.0, 3.0), (1.0, 1.0, 3.0), None),
        ((0.24, 1.25, 1.25), (1.0, 1.0, 1.0), None),
        ((4.0, 1.0, 1.0), (1.0, 1.0, 9.0), 0),
        # two coarse axes of the image's own: the target's is not asked
        ((5.0, 5.0, 1.0), (1.0, 1.0, 9.0), None),
    ],
)
def test_which_axis_is_treated_apart(spacing: Any, target: Any, axis: int | None) -> None:
    assert through_plane_axis(spacing, target, 3.0) == axis
