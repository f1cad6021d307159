"""What a scanner makes of a drawing."""

from __future__ import annotations

import numpy as np
import pytest

from autospine.data.geometry import canonical_orientation, to_canonical
from autospine.phantom.dataset import SCENARIOS, Scenario
from autospine.phantom.grid import Grid
from autospine.phantom.scan import Plane, Scene, scan
from tests.phantom.phantoms import drawn


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_files_are_oblique_and_a_swapped_axis_shows(scenario: Scenario) -> None:
    case = drawn(0, scenario)
    direction = np.reshape(case.geometry.direction, (3, 3))
    np.testing.assert_allclose(direction @ direction.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(direction) == pytest.approx(1)
    # Oblique about two axes: no column of the direction lies along an axis.
    assert (np.abs(direction).max(axis=0) < 0.9999).all()
    assert (np.abs(direction).max(axis=0) > 0.98).all()
    assert canonical_orientation(case.geometry) == case.orientation
    assert to_canonical(case.stored(case.label)).geometry.spacing_mm == case.spacing_mm
    assert len({round(spacing, 3) for spacing in case.spacing_mm}) == 3


GRID = Grid((4, 6, 2), (2.0, 1.5, 4.0), (2, 1, 2))
"""Samples (8, 6, 4), four in a voxel."""


def scene(signal: np.ndarray, labels: np.ndarray, plane: Plane = "sagittal") -> Scene:
    return Scene(GRID, (signal.astype(np.float32),), labels.astype(np.uint8), plane)


def scanned(signal: np.ndarray) -> np.ndarray:
    return scan(np.random.default_rng(5), scene(signal, np.zeros(GRID.shape))).image


def test_a_voxel_is_the_mean_of_its_samples() -> None:
    """The same field, noise and gain: half the samples bright are all of them half as bright."""
    stripes = np.zeros(GRID.shape)
    stripes[::2] = 1
    np.testing.assert_array_equal(scanned(stripes), scanned(np.full(GRID.shape, 0.5)))
    assert scanned(np.ones(GRID.shape)).mean() > 1.5 * scanned(stripes).mean()


def test_air_is_noise_and_the_back_is_next_to_the_coil() -> None:
    """At most 0.04 of noise, by a gain of at most 1100: its magnitude has a mean of 55."""
    air, full = scanned(np.zeros(GRID.shape)), scanned(np.ones(GRID.shape))
    assert air.dtype == np.int16 and air.min() >= 0 and 0 < air.mean() < 60
    rows = full[0].mean(axis=(0, 2))
    assert rows[-1] > 1.2 * rows[0]


def test_a_label_is_what_most_samples_have_and_the_smaller_on_a_tie() -> None:
    labels = np.zeros(GRID.shape)
    # samples of the voxels (0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 1): two of four planes, one row, two columns
    labels[0:2, 0, 0:2] = [[1, 1], [1, 0]]
    labels[2:4, 1, 0:2] = [[7, 7], [3, 3]]
    labels[4:6, 2, 2:4] = [[5, 5], [0, 0]]
    labels[6:8, 3, 2:4] = [[6, 6], [2, 0]]
    case = scan(np.random.default_rng(0), scene(np.zeros(GRID.shape), labels))
    wanted = np.zeros((4, 6, 2))
    wanted[0, 0, 0], wanted[1, 1, 0], wanted[3, 3, 1] = 1, 3, 6
    np.testing.assert_array_equal(case.label, wanted)


def test_every_sequence_has_the_field_of_one_coil_and_noise_of_its_own() -> None:
    one = np.ones(GRID.shape, np.float32)
    first, second = scan(
        np.random.default_rng(0), Scene(GRID, (one, one), np.zeros(GRID.shape, np.uint8), "axial")
    ).image.astype(float)
    ratio = second / first
    assert 0.8 < np.min(ratio / ratio.mean()) < 0.999 < 1.001 < np.max(ratio / ratio.mean()) < 1.25


@pytest.mark.parametrize(("plane", "order"), [("sagittal", (2, 0, 1)), ("axial", (0, 1, 2))])
def test_files_are_stored_in_the_order_of_their_plane(plane: Plane, order: tuple[int, int, int]) -> None:
    """Sagittal slices run along X, axial ones along Z; of the grid's voxels (4, 6, 2)."""
    case = scan(np.random.default_rng(0), scene(np.zeros(GRID.shape), np.zeros(GRID.shape), plane))
    array = np.arange(48).reshape(4, 6, 2)
    stored = case.stored(array)
    assert stored.array.shape == (1, *(array.shape[axis] for axis in order)) == (1, *case.geometry.shape)
    assert stored.geometry.spacing_mm == tuple(GRID.spacing_mm[axis] for axis in order)
    np.testing.assert_array_equal(to_canonical(stored).array[0], array)
