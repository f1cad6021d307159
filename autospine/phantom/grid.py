"""What every phantom is drawn on: a grid finer than the voxels, in millimetres, and the shapes that go on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.uint8]
AnyFloat = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

Shape = tuple[int, int, int]
Millimetres = tuple[float, float, float]


class Grid:
    """Coordinates in millimetres of the fine samples, per axis, broadcastable to (Z, Y, X); X is 0 at mid volume."""

    def __init__(self, voxels: Shape, spacing_mm: Millimetres, fine: Shape) -> None:
        """Lay `fine` samples per voxel and axis into a volume of `voxels` voxels of `spacing_mm` (Z, Y, X)."""
        self.voxels, self.spacing_mm, self.fine = voxels, spacing_mm, fine
        self.shape = tuple(size * samples for size, samples in zip(voxels, fine, strict=True))
        self.extent_mm = tuple(size * spacing for size, spacing in zip(voxels, spacing_mm, strict=True))
        self.step_mm = tuple(spacing / samples for spacing, samples in zip(spacing_mm, fine, strict=True))
        self.z, self.y, self.x = np.ogrid[tuple(slice(0, size) for size in self.shape)]
        self.z = ((self.z + 0.5) * self.step_mm[0]).astype(np.float32)
        self.y = ((self.y + 0.5) * self.step_mm[1]).astype(np.float32)
        self.x = ((self.x + 0.5) * self.step_mm[2] - self.extent_mm[2] / 2).astype(np.float32)

    def window(self, centre_mm: tuple[float, float], radius_mm: float) -> tuple[slice, slice]:
        """Z and Y slices around a centre, for work that stays near it."""
        low, high = (
            [int((centre + sign * radius_mm) / step) for centre, step in zip(centre_mm, self.step_mm, strict=False)]
            for sign in (-1, 1)
        )
        return slice(max(low[0], 0), max(high[0], 0)), slice(max(low[1], 0), max(high[1], 0))


def draw_grid(
    rng: np.random.Generator,
    voxels: tuple[tuple[int, int], ...],
    spacing_mm: tuple[tuple[float, float], ...],
    fine: Shape,
) -> Grid:
    """A grid of its own size and spacing, each drawn from (least, below) voxels and (least, most) mm per axis."""
    z, y, x = (int(rng.integers(*between)) for between in voxels)
    high, deep, wide = (float(rng.uniform(*between)) for between in spacing_mm)
    return Grid((z, y, x), (high, deep, wide), fine)


def rounded_box(first: AnyFloat, second: AnyFloat, third: AnyFloat) -> FloatArray:
    """Size to the fifth power of the box with rounded edges that a point lies on; below 1 inside the unit box."""
    return np.asarray(_fifth(first) + _fifth(second) + _fifth(third), np.float32)


def _fifth(values: AnyFloat) -> FloatArray:
    """|values| ** 5, by multiplication: a power of an array is ten times slower."""
    square = values * values
    return np.asarray(square * square * np.abs(values))


def ellipsoid(grid: Grid, centre_mm: Millimetres, half_mm: Millimetres, window: tuple[slice, slice]) -> FloatArray:
    """Distance from a centre as a share of the half axes (Z, Y, X), within a window; below 1 inside."""
    up = (grid.z[window[0]] - centre_mm[0]) / half_mm[0]
    back = (grid.y[:, window[1]] - centre_mm[1]) / half_mm[1]
    return np.asarray(np.sqrt(up**2 + back**2 + ((grid.x - centre_mm[2]) / half_mm[2]) ** 2), np.float32)


def smooth_field(rng: np.random.Generator, grid: Grid, size_mm: float) -> FloatArray:
    """Smooth random field of mean 0 and standard deviation 1 with structures of about `size_mm`."""
    # Drawn on a grid of about `size_mm` and interpolated: much faster than filtering at full size.
    coarse = [max(int(extent / size_mm) + 3, 4) for extent in grid.extent_mm]
    field = rng.normal(0, 1, coarse).astype(np.float32)
    for axis, (size, extent) in enumerate(zip(grid.shape, grid.extent_mm, strict=True)):
        position = 1 + (np.arange(size) + 0.5) / size * (extent / size_mm)
        low = np.floor(position).astype(int)
        weight = (position - low).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
        low = np.minimum(low, field.shape[axis] - 2)
        field = np.take(field, low, axis) * (1 - weight) + np.take(field, low + 1, axis) * weight
    return np.asarray(field / field.std(), np.float32)
