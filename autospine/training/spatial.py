"""Random rotation and zoom of training patches, with the reference's probabilities: one affine map.

It is drawn before anything is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.structure import IGNORED
from autospine.planning.document.configuration import Configuration

P_ROTATION = 0.2
P_SCALING = 0.2
SPLINE_MARGIN = 3
"""Voxels read around what an affine map needs, so that the cubic spline's support is real data."""

Real = TypeVar("Real", np.float32, np.uint8)


@dataclass(frozen=True)
class SpatialTransform:
    """Rotation and zoom about the patch centre: source = centre + matrix @ (target - centre)."""

    matrix: npt.NDArray[np.float64]
    """(3, 3), voxels to voxels."""
    in_plane: bool
    """The first axis is left alone: slices are interpolated one by one."""

    def source_box(self, start: npt.NDArray[Any], patch: tuple[int, int, int]) -> list[list[int]]:
        """Bounds [low, high] per axis of the voxels that the patch at `start` needs."""
        half = (np.array(patch) - 1) / 2
        centre = np.asarray(start) + half
        reach = np.abs(self.matrix) @ half + SPLINE_MARGIN
        if self.in_plane:
            reach[0] = half[0]
        low = np.floor(centre - reach).astype(int)
        high = np.ceil(centre + reach).astype(int) + 1
        # the box stays centred on the patch, so that the map below needs no offset of its own
        return [list(bounds) for bounds in zip(low.tolist(), high.tolist(), strict=True)]

    def apply_image(self, image: npt.NDArray[np.float32], patch: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """(C, *box) -> (C, *patch), cubic; 0 outside."""
        return np.stack([self._warp(channel, patch, order=3) for channel in image])

    def apply_label(self, label: npt.NDArray[np.uint8], patch: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
        """(*box) -> (*patch): each class interpolated linearly, kept where it reaches 0.5; `IGNORED` outside."""
        out = np.zeros(patch, np.uint8)
        # what is not known comes first, as a class goes over it where both reach 0.5
        for value in sorted(np.unique(label).tolist(), key=lambda held: held != IGNORED):
            if value != 0:
                out[self._warp((label == value).astype(np.float32), patch, order=1) >= 0.5] = value
        covered = self._warp(np.ones(label.shape, np.float32), patch, order=1) >= 0.5
        out[~covered] = IGNORED
        return out

    def apply_nearest(self, values: npt.NDArray[Real], patch: tuple[int, int, int]) -> npt.NDArray[Real]:
        """(*box) -> (*patch): the value (a class, a size) of the nearest voxel, 0 outside."""
        return self._warp(values, patch, order=0)

    def _warp(self, array: npt.NDArray[Real], patch: tuple[int, int, int], order: int) -> npt.NDArray[Real]:
        axes = slice(1 if self.in_plane else 0, 3)
        half_out, half_in = ((np.array(shape[axes]) - 1) / 2 for shape in (patch, array.shape))
        matrix = self.matrix[axes, axes]
        how: dict[str, Any] = {"offset": half_in - matrix @ half_out, "output_shape": patch[axes], "order": order}

        def warped(part: npt.NDArray[Real]) -> npt.NDArray[Real]:
            out: npt.NDArray[Real] = ndimage.affine_transform(part, matrix, mode="constant", cval=0.0, **how)
            return out

        return np.stack([warped(part) for part in array]) if self.in_plane else warped(array)


def draw_transform(rng: np.random.Generator, configuration: Configuration) -> SpatialTransform | None:
    """A random rotation and zoom within the plan's limits; None for the identity (0.64 of the draws)."""
    training = configuration.training
    rotate = rng.random() < P_ROTATION
    scale = rng.random() < P_SCALING
    if not rotate and not scale:
        return None
    in_plane = configuration.network.dimension == 2 or training.rotate_in_plane
    matrix = np.eye(3)
    if rotate:
        limit = np.deg2rad(training.rotation_deg)
        for axis in (0,) if in_plane else (0, 1, 2):
            matrix = matrix @ _rotation(axis, float(rng.uniform(-limit, limit)))
    if scale:
        low, high = training.scale_range
        # half the draws shrink and half enlarge, as in the reference, whatever the range's asymmetry
        zoom = rng.uniform(low, 1.0) if rng.random() < 0.5 and low < 1 else rng.uniform(max(low, 1.0), high)
        factors = np.array([1.0 if in_plane else zoom, zoom, zoom])
        matrix = matrix @ np.diag(factors)
    return SpatialTransform(matrix, in_plane)


def _rotation(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Rotation about array axis `axis` by `angle` radians, (3, 3)."""
    matrix, plane = np.eye(3), [other for other in range(3) if other != axis]
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix[np.ix_(plane, plane)] = [[cosine, -sine], [sine, cosine]]
    return matrix
