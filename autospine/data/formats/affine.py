"""From what a header says of its axes to a usable grid, the same for every format.

Axes that are not quite at right angles, as rounding and registration leave them, take the nearest orthogonal ones; what
lies beyond `SKEW_DEGREES` is refused with its angle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Geometry, point, times, triple
from autospine.errors import DataError

SKEW_DEGREES = 1.0
"""Largest angle that two axes may lack to a right one. Voxels are taken for boxes: over a field of 300 mm one degree
shears them by 5 mm, which distances and resampled shapes would not show."""
ROUNDING_DEGREES = 1e-3
"""Angle up to which axes are at right angles: single precision leaves about 1e-5."""
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""nibabel's millimetres run to Right, Anterior, Superior."""


def usable_grid(
    path: Path,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    origin_mm: tuple[float, float, float],
    axes: npt.NDArray[np.float64],
    dimension: int,
) -> Geometry:
    """The grid of (Z, Y, X) `shape` whose axes X, Y, Z run along the columns of `axes` (LPS), of whatever length.

    Raises:
        DataError: numbers that are not finite, no size, no direction, or axes too far from right angles.
    """
    numbers = [*spacing_mm, *origin_mm, *axes.ravel()]
    lengths = np.linalg.norm(axes, axis=0) if np.all(np.isfinite(numbers)) else np.zeros(3)
    if min(spacing_mm) <= 0 or min(lengths) <= 0 or min(shape) < 1:
        raise unusable(path, f"{times(shape)} voxels of {times(spacing_mm)} mm at {point(origin_mm)}")
    direction, skew = nearest_orthogonal(axes / lengths)
    if skew > SKEW_DEGREES:
        found = f"its axes are {skew:.3g} degrees from right angles (a sheared grid, or a wrong matrix)"
        remedy = "resample it onto a grid with axes at right angles, or correct its header"
        raise DataError(str(path), found, f"at most {SKEW_DEGREES:g} degree", remedy)
    held = tuple((direction + 0.0).ravel().tolist())  # + 0.0 turns -0.0 into 0.0
    return Geometry(shape, spacing_mm, origin_mm, held, dimension, skew)


def nearest_orthogonal(axes: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """The orthonormal axes nearest to unit columns (polar decomposition), and the degrees that those lack at most."""
    cosines = np.abs(axes.T @ axes)[[0, 0, 1], [1, 2, 2]]
    skew = float(np.degrees(np.arcsin(min(float(cosines.max()), 1.0))))
    if skew <= ROUNDING_DEGREES:
        return axes, skew
    left, _, right = np.linalg.svd(axes)
    return left @ right, skew


def from_affine(
    path: Path, affine: npt.NDArray[np.float64], shape: tuple[int, ...], said: str, sizes_mm: npt.NDArray[Any]
) -> Geometry:
    """The grid of an affine from (X, Y, Z) indices to Right, Anterior, Superior, which the header calls `said`.

    `sizes_mm` (3,) are the voxel sizes that the header states as well: where rounding alone tells them from the
    matrix's, they are what it was computed from.
    """
    if not np.isfinite(affine).all():
        raise unusable(path, f"its {said} holds numbers that are not finite")
    matrix = np.array(_TO_LPS @ affine)
    axes = matrix[:3, :3]
    held = np.linalg.norm(axes, axis=0)
    whole = triple((*shape, 1)[:3])
    for axis in range(3):
        if held[axis] == 0 and whole[axis] == 1:  # along an axis of one voxel a header may say nothing
            first, second = (axes[:, (axis + step) % 3] for step in (1, 2))
            axes[:, axis], held[axis] = np.cross(first, second), 1.0
    if len(shape) == 2:
        held[2] = 1.0
    if min(held) <= 0:
        raise unusable(path, f"its {said} makes voxels of {times(held[::-1].tolist())} mm (Z x Y x X)")
    stated = np.asarray(sizes_mm, np.float64)
    held = np.where(np.abs(stated - held) <= 1e-6 * held, stated, held)
    spacing, origin = triple(held[::-1].tolist()), triple(matrix[:3, 3].tolist())
    return usable_grid(path, whole[::-1], spacing, origin, axes, len(shape))


def to_affine(geometry: Geometry) -> npt.NDArray[np.float64]:
    """The matrix from (X, Y, Z) indices to Right, Anterior, Superior, (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(geometry.direction).reshape(3, 3) * np.asarray(geometry.spacing_mm[::-1])
    matrix[:3, 3] = geometry.origin_mm
    placed: npt.NDArray[np.float64] = _TO_LPS @ matrix + 0.0  # + 0.0 turns -0.0 into 0.0
    return placed


def farthest_mm(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], shape: tuple[int, int, int]) -> float:
    """Largest distance of the two places that affines give a corner voxel of the grid of (X, Y, Z) `shape`."""
    ends = [(0, edge - 1) for edge in shape]
    corners = np.array([[x, y, z, 1] for x in ends[0] for y in ends[1] for z in ends[2]])
    return float(np.linalg.norm(corners @ (one - other).T, axis=1).max())


def split_shape(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Sizes of the two or three axes in space, and the channels, which are the fourth; trailing 1s say nothing."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if min(shape, default=0) < 1:
        raise unusable(path, f"{times(shape)} voxels")
    if len(shape) not in (2, 3, 4):
        raise other_dimensions(path, shape)
    return shape[:3], shape[3] if len(shape) == 4 else 1


def other_dimensions(path: Path, shape: tuple[int, ...]) -> DataError:
    """The error of an image with fewer axes than two or more than channels in space."""
    remedy = "save each time point or channel as a file of its own (case_0000, case_0001, ...)"
    found = f"an image of {len(shape)} dimensions ({times(shape)})"
    return DataError(str(path), found, "2 or 3 dimensions, a fourth for channels", remedy)


def unusable(path: Path, found: str) -> DataError:
    """The error of a header that places its voxels nowhere."""
    expected = "finite numbers, positive spacing and axes at right angles"
    return DataError(str(path), f"no usable grid: {found}", expected, "export the image again or correct its header")
