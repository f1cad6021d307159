"""Grids in space: corners, orders of axes, and what is the same grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospine.data.geometry import (
    Geometry,
    Orientation,
    canonical_orientation,
    orient,
    orient_geometry,
    resampled_shape,
    restore,
    same_grid,
    to_canonical,
)
from tests.data.volumes import IDENTITY, ORIENTATIONS, rotation, volume


def test_new_shapes_keep_the_extent() -> None:
    assert resampled_shape((20, 224, 224), (4.0, 1.0, 1.0), (4.0, 2.0, 2.0)) == (20, 112, 112)
    assert resampled_shape((39, 305, 305), (2.0, 1.25, 1.25), (1.0, 1.0, 1.0)) == (78, 381, 381)
    assert resampled_shape((20, 224, 305), (4.0, 1.0, 1.25), (4.0, 2.0, 1.0)) == (20, 112, 381)  # 381.25
    # Python's round: half to even
    assert resampled_shape((5, 7), (1.0, 1.0), (2.0, 2.0)) == (2, 4)
    assert resampled_shape((1,), (1.0,), (9.0,)) == (1,)


def position(geometry: Geometry, index: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """LPS millimetres of a voxel centre, by the definition: origin + direction x (spacing x index), all in x, y, z."""
    step = np.array(geometry.spacing_mm[::-1]) * np.array(index[::-1])
    place: npt.NDArray[np.float64] = np.array(geometry.origin_mm) + np.array(geometry.direction).reshape(3, 3) @ step
    return place


def test_corners_by_hand() -> None:
    corners = volume().geometry.corners_mm()
    # x: -12.5 - 0.35 .. + 4.5 * 0.7; y: 30 - 0.75 .. + 3.5 * 1.5; z: 7.25 - 2 .. + 2.5 * 4
    assert corners.min(axis=0) == pytest.approx([-12.85, 29.25, 5.25])
    assert corners.max(axis=0) == pytest.approx([-9.35, 35.25, 17.25])
    assert volume().geometry.voxel_volume_mm3 == pytest.approx(4.2)


def test_right_anterior_inferior_storage_by_hand() -> None:
    """A file whose x goes to the Right, y Anterior, z Inferior needs a flip on each axis and no permutation."""
    assert canonical_orientation(volume(np.diag([-1, -1, -1])).geometry) == Orientation((0, 1, 2), (True, True, True))
    # A sagittal file: x (fastest) runs Posterior, y Inferior, z (slices) Left.
    sagittal = volume(np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]]))
    assert canonical_orientation(sagittal.geometry) == Orientation((1, 2, 0), (True, False, False))
    canonical = to_canonical(sagittal)
    assert canonical.array.shape == (1, 4, 5, 3)
    assert canonical.geometry.spacing_mm == (1.5, 0.7, 4.0)
    assert canonical.geometry.direction == IDENTITY
    assert canonical.geometry.origin_mm == pytest.approx((-12.5, 30.0, 7.25 - 3 * 1.5))


def test_each_voxel_stays_where_it_is() -> None:
    scene = volume(rotation(25, -31, 60))
    for orientation in ORIENTATIONS:
        moved = to_canonical(scene, orientation)
        for index in [(0, 0, 0), (2, 1, 3), (1, 3, 0)]:
            at = np.argwhere(moved.array[0] == scene.array[0][index])[0]
            where = position(moved.geometry, (int(at[0]), int(at[1]), int(at[2])))
            np.testing.assert_allclose(where, position(scene.geometry, index), atol=1e-9)


@given(st.tuples(*[st.integers(1, 5)] * 5), st.sampled_from(ORIENTATIONS))
def test_restore_is_the_inverse(shape: tuple[int, ...], orientation: Orientation) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    np.testing.assert_array_equal(restore(orient(array, orientation), orientation), array)
    np.testing.assert_array_equal(restore(orient(array[0, 0], orientation), orientation), array[0, 0])


@given(st.tuples(*[st.floats(-180, 180)] * 3))
def test_canonical_axes_point_where_they_should(degrees: tuple[float, float, float]) -> None:
    geometry = volume(rotation(*degrees)).geometry
    canonical = orient_geometry(geometry, canonical_orientation(geometry))
    assert min(np.diag(canonical.axes()[::-1])) > -1e-4
    assert same_grid(canonical, orient_geometry(canonical, canonical_orientation(canonical)), 1e-6) is None


def test_grids_are_compared_in_millimetres() -> None:
    a = volume(rotation(5, 6, 7)).geometry
    jitter = tuple(value + 1e-7 for value in a.direction)
    assert same_grid(a, replace(a, direction=jitter)) is None
    assert same_grid(a, replace(a, origin_mm=(-12.5, 30.05, 7.25))) is None
    far = same_grid(a, replace(a, origin_mm=(-12.5, 30.0, 10.25)))
    assert far is not None and "3 mm apart" in far
    assert "3 x 4 x 5 voxels against 3 x 4 x 6" in str(same_grid(a, replace(a, shape=(3, 4, 6))))
    assert same_grid(a, replace(a, spacing_mm=(4.0, 1.5, 0.9))) is not None
    turned = replace(a, direction=volume(rotation(5, 6, 12)).geometry.direction)
    assert same_grid(a, turned) is not None
