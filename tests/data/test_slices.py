"""Which axis the slices are stacked along."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.formats.itk import nibabel
from autospine.data.geometry import Geometry, Orientation, Volume, orient_geometry
from autospine.data.slices import slice_axis, slices_of
from autospine.data.volume import read_geometry, write_volume

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "stated", "expected"),
    [
        # a sagittal slab of the SPIDER kind: 0.94 is above 0.9, but is no distance of slices
        ((320, 256, 20), (0.94, 0.94, 0.9), None, (2, "few")),
        ((320, 256, 20), (0.9, 0.9, 0.94), None, (2, "few")),
        ((320, 20, 256), (1.0, 1.0, 1.0), None, (1, "few")),
        # thick slices, whatever else is said
        ((20, 224, 224), (4.0, 1.0, 1.0), 2, (0, "thick")),
        ((224, 224, 300), (1.0, 1.0, 1.25), None, (2, "thick")),
        # nearly cubes: the header knows, and goes before the number of voxels
        ((320, 256, 176), (1.0, 1.0, 1.0), 2, (2, "header")),
        ((320, 256, 20), (1.0, 1.0, 1.0), 1, (1, "header")),
        # nothing tells: the coarsest, the first of equal ones
        ((35, 51, 35), (1.0, 1.0, 1.0), None, (0, "coarsest")),
        ((30, 51, 35), (0.5, 0.7, 0.6), None, (1, "coarsest")),
        ((60, 60, 119), (1.0, 1.0, 1.0), None, (0, "coarsest")),
        # a single slice, whatever its thickness
        ((1, 51, 35), (1.0, 2.0, 5.0), 2, (0, "flat")),
    ],
)
def test_by_hand(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], stated: int | None, expected: tuple[int, str]
) -> None:
    found = slice_axis(shape, spacing_mm, stated)
    assert (found.axis, found.why) == expected


def test_the_axis_that_a_header_states_moves_with_the_others(tmp_path: Path) -> None:
    geometry = Geometry((20, 30, 25), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY)
    write_volume(tmp_path / "a.nii", Volume(np.ones((1, 20, 30, 25), np.uint8), geometry))
    assert read_geometry(tmp_path / "a.nii").slice_axis is None
    image = nibabel().load(tmp_path / "a.nii")
    image.header.set_dim_info(slice=1)  # of x, y, z
    image.to_filename(tmp_path / "b.nii")
    stated = read_geometry(tmp_path / "b.nii")
    assert stated.slice_axis == 1 and slices_of(stated) == 1
    moved = orient_geometry(stated, Orientation((1, 2, 0), (False, True, False)))
    assert moved.slice_axis == 0 and slices_of(moved) == 0
    assert slices_of(replace(stated, slice_axis=None)) == 0
