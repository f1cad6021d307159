"""Masks that cover a part of their image: laid on the whole grid by their origin.

3D Slicer cuts a segmentation to the box around what was drawn. Its voxels are those of the image, shifted by whole
numbers of them:

    image  origin (0, 0, 0), 10 voxels of 2 mm along x
    mask   origin (6, 0, 0),  4 voxels of 2 mm along x   ->   voxels 3 to 6 of the image
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import (
    Geometry,
    Volume,
    canonical_orientation,
    orient_geometry,
    restore,
    same_grid,
    to_canonical,
    triple,
)
from autospine.data.volume import header_remarks, suffix_of
from autospine.errors import DataError

_FARTHEST = 1e6
"""Voxels between two grids beyond which a number in a header is wrong."""
_MOST_VOXELS = 1 << 31
_REMEDY = "segment that image itself, or export the segmentation on its grid"


def onto_axes(volume: Volume, grid: Geometry, path: Path, reference: Path) -> Volume:
    """The volume of `path` with its axes as in `grid`, the grid of `reference`, whichever way they run in the file.

    Raises:
        DataError: its voxels lie elsewhere.
    """
    if same_grid(volume.geometry, grid) is None:
        return volume
    differs = same_grid(orient_geometry(volume.geometry), orient_geometry(grid))
    if differs is None:
        return Volume(restore(to_canonical(volume).array, canonical_orientation(grid)), grid)
    said = [f"{file.name}: {said}" for file in (path, reference) for said in _header_remarks(file)]
    found = "; ".join([f"not on the grid of {reference.name}: {differs}", *said])
    remedy = "export both again from the same series. Where it was drawn on this very image and its header has lost "
    remedy += "the place, copy the image's header; resample it only if it really lies there"
    raise DataError(str(path), found, "the same voxels in space", remedy)


def _header_remarks(path: Path) -> tuple[str, ...]:
    """What the header of a file contradicts itself in; nothing for what is no file of an image."""
    try:
        return header_remarks(path) if suffix_of(path) else ()
    except DataError:
        return ()


def place(values: npt.NDArray[Any], own: Geometry, grid: Geometry, path: Path, of: str) -> npt.NDArray[Any]:
    """The values (Z, Y, X), which lie on the grid `own`, on the whole of `grid` with its axes; 0 around them.

    Args:
        values: labels of the mask.
        own: their grid.
        grid: that of the image.
        path: the mask, for messages.
        of: what the grid is called in messages.

    Raises:
        DataError: the voxels are not those of the grid, or some with a label lie outside of it.
    """
    piece, whole = to_canonical(Volume(values[None], own)), orient_geometry(grid)
    held = piece.array[0]
    offset = _offset(piece.geometry, whole, path, of)
    low = np.maximum(offset, 0)
    high = np.minimum(offset + held.shape, whole.shape)
    laid = np.zeros(whole.shape, values.dtype)
    inside = held[:0]
    if (high > low).all():
        inside = held[tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))]
        laid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = inside
    outside = int(np.count_nonzero(held)) - int(np.count_nonzero(inside))
    if outside:
        raise DataError(str(path), f"{outside} voxels outside of {of}", "a segmentation of that image", _REMEDY)
    return restore(laid, canonical_orientation(grid))


def covering(first: Geometry, second: Geometry, path: Path, of: str) -> Geometry:
    """The smallest grid with the voxels of both, in canonical axes.

    Raises:
        DataError: the second, that of `path`, has other voxels than the first, `of`.
    """
    whole, piece = orient_geometry(first), orient_geometry(second)
    offset = _offset(piece, whole, path, of)
    low = np.minimum(offset, 0)
    shape = np.maximum(offset + piece.shape, whole.shape) - low
    if int(np.prod(shape)) > _MOST_VOXELS:
        raise DataError(str(path), f"so far from {of} that no grid holds both", "two masks of one image")
    return _moved(whole, low, triple(shape.tolist()))


def _offset(piece: Geometry, whole: Geometry, path: Path, of: str) -> npt.NDArray[np.int64]:
    """Where voxel (0, 0, 0) of `piece` lies in `whole`, both in canonical axes."""
    apart = np.asarray(piece.origin_mm) - np.asarray(whole.origin_mm)
    step = whole.axes().T @ apart / np.asarray(whole.spacing_mm)
    if np.abs(step).max() > _FARTHEST:
        found = f"its origin lies {float(np.linalg.norm(apart)):.3g} mm from that of {of}"
        raise DataError(str(path), found, "the same voxels in space", _REMEDY)
    offset: npt.NDArray[np.int64] = np.rint(step).astype(np.int64)
    differs = same_grid(piece, _moved(whole, offset, piece.shape))
    if differs is not None:
        found = f"not on the voxels of {of}, shifted by whole ones: {differs}"
        raise DataError(str(path), found, "the same voxels in space", _REMEDY)
    return offset


def _moved(grid: Geometry, offset: npt.NDArray[np.int64], shape: tuple[int, int, int]) -> Geometry:
    """The grid of `shape` that starts at the voxel `offset` of `grid`."""
    origin = np.asarray(grid.origin_mm) + grid.axes() @ (offset * np.asarray(grid.spacing_mm))
    return replace(grid, shape=shape, origin_mm=triple(origin.tolist()))
