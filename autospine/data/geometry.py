"""Grids in space: what an array's voxels mean in millimetres, and axes that point the same way in every image.

Arrays are (C, Z, Y, X); the axes Z, Y, X of an array in a file may point anywhere. The canonical orientation,
reached by flips and permutations alone, makes them increase toward Superior, Posterior and Left, and `restore` brings a
result back to the file's own grid:

    file array (X toward Right, Y toward Posterior, Z toward Superior)
        -> Orientation(permutation=(0, 1, 2), flips=(False, False, True)) -> canonical
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Triple = tuple[float, float, float]
T = TypeVar("T")


@dataclass(frozen=True)
class Geometry:
    """The grid of an image: array sizes, voxel size and place in LPS millimetres."""

    shape: tuple[int, int, int]
    """Voxels along the array axes (Z, Y, X)."""
    spacing_mm: tuple[float, float, float]
    """Voxel size along the array axes (Z, Y, X); Z is 1 in 2D files."""
    origin_mm: tuple[float, float, float]
    """Centre of voxel (0, 0, 0) as (x, y, z), x toward Left, y toward Posterior, z toward Superior."""
    direction: tuple[float, ...]
    """3 x 3 row-major; its columns are the directions of the array axes X, Y, Z (in this order)."""
    dimension: int = 3
    """Dimension of the file itself, 2 or 3."""
    skew_degrees: float = field(default=0.0, compare=False, repr=False)
    """Angle that the header's axes lack to right ones at most; `direction` is the nearest that lacks none."""
    slice_axis: int | None = field(default=None, compare=False, repr=False)
    """Array axis along which slices were acquired, where the header says so."""
    nifti_header: bytes = field(default=b"", compare=False, repr=False)
    """Header of the NIfTI file that has this grid, for what is written on it; empty for any other."""

    def axes(self) -> npt.NDArray[np.float64]:
        """Unit directions as columns in array order Z, Y, X; rows are x, y, z. Shape (3, 3)."""
        columns: npt.NDArray[np.float64] = np.asarray(self.direction, dtype=np.float64).reshape(3, 3)
        return columns[:, ::-1]

    def corners_mm(self) -> npt.NDArray[np.float64]:
        """Outer corners of the grid in LPS millimetres, shape (8, 3)."""
        ends = itertools.product(*((-0.5, size - 0.5) for size in self.shape))
        index = np.array(list(ends)) * np.asarray(self.spacing_mm)
        corners: npt.NDArray[np.float64] = np.asarray(self.origin_mm) + index @ self.axes().T
        return corners

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel (area in 2D files)."""
        return math.prod(self.spacing_mm)


@dataclass(frozen=True)
class Volume:
    """An image and its grid."""

    array: npt.NDArray[Any]
    """(C, Z, Y, X); C is 1 for scalar files, 3 for RGB."""
    geometry: Geometry
    metadata: tuple[tuple[str, str], ...] = ()
    """Header fields that go with the image into what is written beside it."""


@dataclass(frozen=True)
class Orientation:
    """How file array axes become canonical axes: first permuted, then flipped."""

    permutation: tuple[int, int, int] = (0, 1, 2)
    """File axis that stands at each canonical axis."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """Canonical axes that are reversed."""


def canonical_orientation(geometry: Geometry) -> Orientation:
    """The flips and permutation that come closest to axes toward Superior, Posterior, Left; none for 2D files."""
    if geometry.dimension == 2:
        return Orientation()
    toward = geometry.axes()[::-1]  # rows S, P, L; columns file axes Z, Y, X
    # Rounded so that an axis at 45 degrees is decided by the order of the permutations, not by the last bit.
    weight = np.round(np.abs(toward), 4)
    permutations = itertools.permutations(range(3))
    best = max(permutations, key=lambda axes: round(sum(float(weight[i, axes[i]]) for i in range(3)), 4))
    flips = triple(bool(toward[i, best[i]] < 0) for i in range(3))
    return Orientation(triple(best), flips)


def orient(array: npt.NDArray[Any], orientation: Orientation) -> npt.NDArray[Any]:
    """The array (..., Z, Y, X) of a file in canonical axes, contiguous."""
    lead = array.ndim - 3
    axes = (*range(lead), *(lead + axis for axis in orientation.permutation))
    flipped = tuple(lead + axis for axis in range(3) if orientation.flips[axis])
    return np.ascontiguousarray(np.flip(array.transpose(axes), flipped))


def restore(array: npt.NDArray[Any], orientation: Orientation) -> npt.NDArray[Any]:
    """The canonical array (..., Z, Y, X) in the file's own axes, contiguous: the inverse of `orient`."""
    lead = array.ndim - 3
    inverse = (orientation.permutation.index(axis) for axis in range(3))
    flipped = tuple(lead + axis for axis in range(3) if orientation.flips[axis])
    return np.ascontiguousarray(np.flip(array, flipped).transpose(*range(lead), *(lead + axis for axis in inverse)))


def to_canonical(volume: Volume, orientation: Orientation | None = None) -> Volume:
    """The volume in canonical axes, or in those of `orientation`, with its geometry; no voxel value changes."""
    geometry = volume.geometry
    orientation = orientation or canonical_orientation(geometry)
    return replace(volume, array=orient(volume.array, orientation), geometry=orient_geometry(geometry, orientation))


def orient_geometry(geometry: Geometry, orientation: Orientation | None = None) -> Geometry:
    """The same grid in space in canonical axes, or in those of `orientation`."""
    orientation = orientation or canonical_orientation(geometry)
    axes = geometry.axes()[:, list(orientation.permutation)]
    shape = triple(geometry.shape[axis] for axis in orientation.permutation)
    spacing = triple(geometry.spacing_mm[axis] for axis in orientation.permutation)
    origin = np.asarray(geometry.origin_mm, dtype=np.float64)
    for axis in range(3):
        if orientation.flips[axis]:
            origin = origin + axes[:, axis] * spacing[axis] * (shape[axis] - 1)
    signs = np.where(orientation.flips, -1.0, 1.0)
    direction = (axes * signs)[:, ::-1] + 0.0  # + 0.0 turns -0.0 into 0.0
    return replace(
        geometry,
        shape=shape,
        spacing_mm=spacing,
        origin_mm=triple(origin.tolist()),
        direction=tuple(direction.ravel().tolist()),
        slice_axis=None if geometry.slice_axis is None else orientation.permutation.index(geometry.slice_axis),
        nifti_header=b"",
    )


def same_grid(a: Geometry, b: Geometry, tolerance_mm: float | None = None) -> str | None:
    """None where two grids coincide, else what differs, in voxels and millimetres.

    Corners may lie `tolerance_mm` apart, by default a tenth of the smallest voxel edge: NIfTI keeps the affine in
    single precision (about 1e-4 mm over a body), while a shift that moves a label is half a voxel.
    """
    if a.shape != b.shape:
        return f"{times(a.shape)} voxels against {times(b.shape)} (Z x Y x X)"
    apart = float(np.linalg.norm(a.corners_mm() - b.corners_mm(), axis=1).max())
    if apart <= (0.1 * min(a.spacing_mm + b.spacing_mm) if tolerance_mm is None else tolerance_mm):
        return None
    return (
        f"corners lie {apart:.3g} mm apart (spacing {times(a.spacing_mm)} against {times(b.spacing_mm)} mm, "
        f"origin {point(a.origin_mm)} against {point(b.origin_mm)})"
    )


def resampled_shape(shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]) -> tuple[int, ...]:
    """Voxels per axis that keep the extent at the spacing `target_mm`: at least 1."""
    axes = zip(shape, spacing_mm, target_mm, strict=True)
    return tuple(max(1, round(spacing / target * size)) for size, spacing, target in axes)


def triple(values: Iterable[T]) -> tuple[T, T, T]:
    """Exactly three values, one for each axis, as a tuple."""
    first, second, third = values
    return first, second, third


def times(values: Sequence[float]) -> str:
    """`(4.0, 1, 1)` -> `4 x 1 x 1`."""
    return " x ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)


def point(values: tuple[float, ...]) -> str:
    """Coordinates in brackets, to a tenth of a millimetre."""
    return "(" + ", ".join(f"{value:.1f}" for value in values) + ")"
