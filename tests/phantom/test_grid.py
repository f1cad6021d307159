"""The grid that phantoms are drawn on, by hand."""

from __future__ import annotations

import numpy as np

from autospine.phantom.grid import Grid, ellipsoid, rounded_box

GRID = Grid((4, 6, 2), (2.0, 1.0, 4.0), (2, 1, 4))


def test_samples_lie_in_the_middle_of_their_part_of_a_voxel() -> None:
    assert GRID.shape == (8, 6, 8) and GRID.extent_mm == (8.0, 6.0, 8.0)
    np.testing.assert_array_equal(GRID.z.ravel(), np.arange(8) + 0.5)
    np.testing.assert_array_equal(GRID.y.ravel(), np.arange(6) + 0.5)
    np.testing.assert_array_equal(GRID.x.ravel(), np.arange(8) - 3.5)  # 0 at mid volume


def test_a_window_stays_inside() -> None:
    assert GRID.window((1.0, 4.0), 2.0) == (slice(0, 3), slice(2, 6))


def test_shapes_are_one_at_their_rim() -> None:
    assert rounded_box(*(np.array([side]) for side in (1.0, 0.0, 0.0))) == 1
    window = slice(0, 8), slice(0, 6)
    # two and a half millimetres above the centre, which is half of five
    assert ellipsoid(GRID, (2.0, 2.5, -0.5), (5.0, 1.0, 1.0), window)[4, 2, 3] == np.float32(0.5)
