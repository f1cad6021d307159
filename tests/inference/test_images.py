"""Arrays that a caller has become volumes, and what is made of them comes back in the caller's axes."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.errors import DataError
from autospine.inference.images import as_volume

AFFINE = np.array([[-2.0, 0, 0, 10], [0, 0, 3.0, -20], [0, -1.5, 0, 30], [0, 0, 0, 1]])
"""X runs to the left, Y to the feet, Z to the front: 2, 1.5 and 3 mm."""
SHEARED = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
GRID = Geometry((2, 3, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def test_an_affine_of_nibabel_is_where_the_file_says(tmp_path: Any) -> None:
    from autospine.data.volume import read_volume

    array = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    nibabel.Nifti1Image(array, AFFINE).to_filename(tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz")
    found, given = as_volume(array, None, AFFINE, "a")
    np.testing.assert_array_equal(found.array, read.array)
    assert found.geometry.shape == (4, 3, 2) and found.geometry.spacing_mm == (3.0, 1.5, 2.0)
    np.testing.assert_allclose(found.geometry.direction, read.geometry.direction, atol=1e-6)
    np.testing.assert_allclose(found.geometry.origin_mm, read.geometry.origin_mm, atol=1e-4)
    np.testing.assert_array_equal(given.back(found.array[0]), array)


def test_spacings_are_those_of_canonical_axes() -> None:
    array = np.zeros((5, 6, 7), np.int16)
    found, given = as_volume(array, (3.0, 1.0, 2.0), None, "a")
    assert found.geometry == Geometry((5, 6, 7), (3.0, 1.0, 2.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    assert found.array.shape == (1, 5, 6, 7) and given.back(found.array[0]).shape == (5, 6, 7)


@pytest.mark.parametrize("channels", [(), (2,)])
def test_slices_and_channels(channels: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(*channels, 6, 7))
    found, given = as_volume(array, (1.0, 2.0), None, "a")
    assert found.geometry.dimension == 2 and found.geometry.shape == (1, 6, 7)
    assert found.geometry.spacing_mm == (1.0, 1.0, 2.0)
    np.testing.assert_array_equal(found.array[:, 0], array.reshape(-1, 6, 7))
    assert given.back(found.array[0]).shape == (6, 7)
    turned = rng.normal(size=(*channels, 2, 3, 4))
    found, given = as_volume(turned, None, AFFINE, "a")
    np.testing.assert_array_equal(given.back(found.array), turned.reshape(-1, 2, 3, 4))
    np.testing.assert_array_equal(given.channels_of(turned), found.array)


def test_a_volume_is_taken_as_it_is() -> None:
    volume = Volume(
        np.zeros((1, 2, 3, 4)), Geometry((2, 3, 4), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    )
    found, given = as_volume(volume, None, None, "a")
    assert found is volume and given.back(volume.array[0]).shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("array", "more", "said"),
    [
        (np.zeros((2, 3, 4)), {}, "a: an array without a grid"),
        (np.zeros((2, 3, 4)), {"spacing_mm": (1, 1, 1), "affine": AFFINE}, "both spacing_mm and affine"),
        (np.zeros((2, 3, 4)), {"spacing_mm": (1, 0, 1)}, "spacing_mm"),
        (np.zeros((2, 3, 4)), {"spacing_mm": (1, float("nan"), 1)}, "spacing_mm"),
        (np.zeros((2, 3)), {"spacing_mm": (1, 1, 1)}, "shape \\(2, 3\\)"),
        (np.zeros((2, 3, 4, 5, 6)), {"spacing_mm": (1, 1, 1)}, "two or three axes"),
        (np.zeros((0, 3, 4)), {"spacing_mm": (1, 1, 1)}, "shape \\(0, 3, 4\\)"),
        (np.zeros((2, 3, 4), complex), {"spacing_mm": (1, 1, 1)}, "complex128"),
        (np.full((2, 3, 4), np.inf), {"spacing_mm": (1, 1, 1)}, "not finite"),
        (np.full((2, 3, 4), 1e39), {"spacing_mm": (1, 1, 1)}, "not finite in float32"),
        (np.float32(1), {"spacing_mm": (1, 1, 1)}, "two or three axes"),
        (np.array([["a"]]), {"spacing_mm": (1, 1)}, "real numbers"),
        (np.zeros((2, 3, 4)), {"affine": np.eye(3)}, "an affine of shape \\(3, 3\\)"),
        (np.zeros((2, 3, 4)), {"affine": np.full((4, 4), np.nan)}, "no usable grid"),
        (
            np.zeros((2, 3, 4)),
            {"affine": np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])},
            "degrees",
        ),
    ],
)
def test_what_is_no_image_is_refused(array: np.ndarray, more: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        as_volume(array, more.get("spacing_mm"), more.get("affine"), "a")


def test_a_volume_has_a_grid_already() -> None:
    volume = Volume(
        np.zeros((1, 2, 3, 4)), Geometry((2, 3, 4), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    )
    with pytest.raises(DataError, match="one grid"):
        as_volume(volume, (1.0, 1.0, 1.0), None, "a")


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((2, 3, 4), np.float32), r"a Volume of shape \(2, 3, 4\) on a grid of \(2, 3, 4\)"),
        (np.zeros((1, 2, 3, 5), np.float32), r"on a grid of \(2, 3, 4\)"),
        (np.zeros((0, 2, 3, 4), np.float32), r"shape \(0, 2, 3, 4\)"),
        (np.full((1, 2, 3, 4), np.nan, np.float32), "not finite"),
        (np.zeros((1, 2, 3, 4), complex), "complex128"),
    ],
)
def test_a_volume_that_is_none_is_refused(array: np.ndarray, said: str) -> None:
    grid = Geometry((2, 3, 4), (1.0,) * 3, (0.0,) * 3, (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    with pytest.raises(DataError, match=said):
        as_volume(Volume(array, grid), None, None, "a")
