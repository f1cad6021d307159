"""Masks that cover a part of their image, or more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.dataset import load_case, open_dataset
from autospine.data.geometry import Geometry
from autospine.data.masks.placing import covering, place
from autospine.data.volume import write_volume
from autospine.errors import DataError
from tests.data.slicer_files import GRID, IMAGE, drawn, write_slicer


def part(low: tuple[int, int, int], shape: tuple[int, int, int]) -> Geometry:
    """The part of `GRID` from the voxel `low` on; of the tilted axes X and Y, the origin moves in both coordinates."""
    z, y, x = low
    origin = (-12.5 + 0.96 * 0.75 * x - 0.28 * 1.5 * y, 30.0 + 0.28 * 0.75 * x + 0.96 * 1.5 * y, 7.25 + 4.0 * z)
    return replace(GRID, shape=shape, origin_mm=origin)


@pytest.mark.parametrize(
    ("low", "shape"),
    [((1, 1, 2), (2, 2, 3)), ((-1, -2, -1), (4, 6, 7)), ((0, 0, 0), (3, 4, 5)), ((1, 1, 3), (2, 2, 2))],
)
def test_a_cropped_extent_is_placed_by_its_origin(
    tmp_path: Path, low: tuple[int, int, int], shape: tuple[int, int, int]
) -> None:
    labels = drawn()
    around = np.pad(labels, 3)
    piece = around[tuple(slice(a + 3, a + 3 + size) for a, size in zip(low, shape, strict=True))]
    write_volume(tmp_path / "images" / "a.nii.gz", IMAGE)
    path = tmp_path / "labels" / "a.seg.nrrd"
    write_slicer(path, piece[None], part(low, shape), [("L5", 0, 1), ("L4", 0, 2)])
    dataset = open_dataset(tmp_path)
    assert dataset.layout == "folders"
    np.testing.assert_array_equal(load_case(dataset, dataset.cases[0]).label, labels)


@pytest.mark.parametrize(
    ("grid", "found"),
    [
        (replace(GRID, spacing_mm=(4.0, 1.5, 1.5)), "not on the voxels of a.nii.gz"),
        (replace(part((1, 1, 2), GRID.shape), origin_mm=(-12.0, 30.0, 7.25)), "not on the voxels of a.nii.gz"),
        (replace(GRID, direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)), "not on the voxels of a.nii.gz"),
        (part((0, 2, 0), GRID.shape), "2 voxels outside of a.nii.gz"),
        (part((40, 0, 0), GRID.shape), "3 voxels outside of a.nii.gz"),
        (replace(GRID, origin_mm=(1e30, 0.0, 0.0)), "its origin lies 1e\\+30 mm from that of a.nii.gz"),
    ],
)
def test_a_segmentation_of_another_image_is_refused(tmp_path: Path, grid: Geometry, found: str) -> None:
    write_volume(tmp_path / "images" / "a.nii.gz", IMAGE)
    write_slicer(tmp_path / "labels" / "a.seg.nrrd", drawn()[None], grid, [("L5", 0, 1), ("L4", 0, 2)])
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=found):
        load_case(dataset, dataset.cases[0])


def test_a_mask_is_laid_on_axes_that_run_the_other_way() -> None:
    """The mask's X runs from voxel 3 of the image to voxel 2, its Z and Y start at 1."""
    grid = replace(GRID, direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    origin = (-12.5 + 0.75 * 3, 30.0 + 1.5, 7.25 + 4.0)
    own = Geometry((1, 2, 2), GRID.spacing_mm, origin, (-1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    values = np.array([[[1, 2], [3, 0]]], np.uint8)
    wanted: Any = np.zeros(grid.shape, np.uint8)
    wanted[1, 1, 3], wanted[1, 1, 2], wanted[1, 2, 3] = 1, 2, 3
    np.testing.assert_array_equal(place(values, own, grid, Path("mask"), "image"), wanted)


def test_the_grid_that_covers_two() -> None:
    straight = replace(GRID, direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    other = replace(straight, shape=(1, 1, 9), origin_mm=(-12.5 - 0.75, 30.0 + 3.0, 7.25 + 8.0))
    whole = covering(straight, other, Path("mask"), "image")
    assert whole.shape == (3, 4, 9)
    assert whole.origin_mm == pytest.approx((-13.25, 30.0, 7.25))
    with pytest.raises(DataError, match="so far from image"):
        covering(straight, replace(other, origin_mm=(-12.5 + 75000, 30.0 + 150000.0, 7.25)), Path("mask"), "image")
