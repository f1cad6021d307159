"""Across which axis an image is cut into slices: one decision for plan, fingerprint and every picture.

0.94 x 0.94 x 0.9 mm, 320 x 256 x 20 voxels: the third, since voxels are nearly cubes, but it is a slab of 20 slices.
1 x 1 x 4 mm, 224 x 224 x 20 voxels: the third, since its voxels are four times as long.
1 x 1 x 1 mm, 35 x 51 x 35 voxels: the first, since nothing tells, and the reference takes the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from autospine.data.geometry import Geometry

PLANES = ("axial", "coronal", "sagittal")
"""What slices across the canonical axes Z, Y and X are called."""
CLEARLY = 1.25
"""Times that the coarsest spacing is the next one's for its axis to be the slices' by that alone. Pixels are square, or
nearly: what is longer than that is a distance of slices. Slabs of nearly cubic voxels (SPIDER: 0.94 to 0.9 mm) stay
below, and so do rounded sizes."""
FEW = 0.5
"""Share of the voxels of any other axis below which the shortest axis is a stack of slices. Brains, heads and organs in
isotropic grids are within a factor of two along their axes (hippocampus: 35 x 51 x 35)."""


@dataclass(frozen=True)
class SliceAxis:
    """The axis that slices are stacked along, and by which rule."""

    axis: int
    why: Literal["flat", "thick", "header", "few", "coarsest"]
    """`flat`: a single voxel; `thick`: the clearly coarsest; `header`: said so; `few`: clearly the fewest voxels;
    `coarsest`: nothing tells, the coarsest or the first of equals as the reference has it."""


def slice_axis(shape: Sequence[float], spacing_mm: Sequence[float], stated: int | None = None) -> SliceAxis:
    """The slice axis of a grid with `shape` voxels of `spacing_mm`; `stated` is the axis that its header names."""
    if 1 in shape:
        return SliceAxis(list(shape).index(1), "flat")
    finest_first = sorted(range(3), key=lambda axis: spacing_mm[axis])
    if spacing_mm[finest_first[2]] >= CLEARLY * spacing_mm[finest_first[1]]:
        return SliceAxis(finest_first[2], "thick")
    if stated is not None:
        return SliceAxis(stated, "header")
    fewest_first = sorted(range(3), key=lambda axis: shape[axis])
    if shape[fewest_first[0]] < FEW * shape[fewest_first[1]]:
        return SliceAxis(fewest_first[0], "few")
    return SliceAxis(int(np.argmax(np.asarray(spacing_mm))), "coarsest")


def slices_of(geometry: Geometry) -> int:
    """The slice axis of an image, Z, Y, X being 0, 1, 2 of its array."""
    return slice_axis(geometry.shape, geometry.spacing_mm, geometry.slice_axis).axis
