"""Images from one grid to another, with the reference's numbers; labels and network outputs are in `resample_labels`.

nnU-Net resizes each channel as one volume (`skimage.transform.resize`, edges repeated, no smoothing, clipped to the
input's range); where one axis is much coarser, slice by slice, and then it takes the nearest slice. Spline resizing is
linear and separable, so here an image takes one small matrix per axis:

    z (20 -> 39)   (39, 20) @ volume       the matrix is the resized identity: column j is what a
    y (96 -> 80)   (80, 96) @ volume       single 1 at voxel j turns into
    x (72 -> 60)   (60, 72) @ volume
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.planning.document.parts import ResamplingPlan

Index = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


def through_plane_axis(spacing: Sequence[float], new_spacing: Sequence[float], threshold: float) -> int | None:
    """The one coarse axis to be treated apart, or None.

    The image's own spacing decides where its max/min is above `threshold`, else the new one. Two axes that share the
    largest spacing (0.2, 1.2, 1.2) are not a stack of slices: None.
    """
    for candidate in (spacing, new_spacing):
        if max(candidate) / min(candidate) > threshold:
            coarse = [axis for axis, value in enumerate(candidate) if value == max(candidate)]
            return coarse[0] if len(coarse) == 1 else None
    return None


@dataclass(frozen=True)
class Regrid:
    """The way from one grid to another."""

    shape: Sequence[int]
    """Of the new grid, voxels."""
    spacing_mm: Sequence[float]
    """Of the old grid; the spacings only decide whether an axis is treated apart."""
    new_spacing_mm: Sequence[float]
    plan: ResamplingPlan

    @property
    def apart(self) -> int | None:
        """The one coarse axis to be treated apart."""
        return through_plane_axis(self.spacing_mm, self.new_spacing_mm, self.plan.anisotropy_threshold)


def resample_image(array: npt.NDArray[Any], way: Regrid) -> npt.NDArray[np.float32]:
    """`array` (C, Z, Y, X) on the new grid, float32, within the range of the input; an unchanged shape returns that."""
    if tuple(way.shape) == array.shape[1:]:
        return array.astype(np.float32, copy=False)
    orders = way.plan.order_image, way.apart, way.plan.order_through_plane
    result = np.empty((len(array), *way.shape), np.float32)
    for channel, target in zip(array, result, strict=True):
        target[...] = resize_channel(channel, way.shape, *orders)
    return result


def resize_channel(
    channel: npt.NDArray[Any], new_shape: Sequence[int], order: int, apart: int | None = None, order_apart: int = 0
) -> Floats:
    """One channel (Z, Y, X) on the grid `new_shape`, float64: splines of `order`, those of `order_apart` along `apart`.

    The range clip is that of each resize call of the reference: over the volume or, with an axis apart, per slice.
    """
    plane = [axis for axis in range(3) if axis != apart]
    volume: Floats = channel.astype(np.float64)
    low, high = volume.min(axis=tuple(plane), keepdims=True), volume.max(axis=tuple(plane), keepdims=True)
    # shrinking axes first: the products that follow are then smaller
    for axis in sorted(plane, key=lambda axis: new_shape[axis] / channel.shape[axis]):
        if new_shape[axis] != channel.shape[axis]:
            volume = _apply(operator(channel.shape[axis], new_shape[axis], order), volume, axis)
    np.clip(volume, low, high, out=volume)
    if apart is not None and new_shape[apart] != channel.shape[apart]:
        if order_apart == 0:
            return volume.take(nearest_slices(channel.shape[apart], new_shape[apart]), apart)
        volume = _apply(operator(channel.shape[apart], new_shape[apart], order_apart), volume, apart)
    return volume


def _apply(matrix: Floats, volume: Floats, axis: int) -> Floats:
    """`matrix` (new, old) along `axis` of `volume`."""
    if axis == 0:
        flat: Floats = matrix @ volume.reshape(len(volume), -1)
        return flat.reshape(len(matrix), *volume.shape[1:])
    along: Floats = np.matmul(matrix, volume) if axis == 1 else np.matmul(volume, matrix.T)
    return along


@lru_cache(maxsize=64)
def operator(old: int, new: int, order: int) -> Floats:
    """The (new, old) matrix that resizes a line of `old` samples to `new` with splines of `order`, edges repeated.

    It is the identity put through the very routine the reference calls for whole volumes. Read-only and cached.
    """
    from scipy import ndimage  # here, so that a process which only opens a store needs numpy alone

    matrix: Floats = ndimage.zoom(np.eye(old), (new / old, 1), order=order, mode="nearest", grid_mode=True)
    matrix.setflags(write=False)
    return matrix


@lru_cache(maxsize=64)
def nearest_slices(old: int, new: int) -> Index:
    """For each of `new` slices the nearest of `old`: sample (i + 0.5) * old / new - 0.5, as the reference rounds it."""
    from scipy import ndimage

    positions = old / new * (np.arange(new) + 0.5) - 0.5
    slices = ndimage.map_coordinates(np.arange(old, dtype=np.float64), positions[None], order=0, mode="nearest")
    index: Index = slices.astype(np.intp)
    index.setflags(write=False)
    return index
