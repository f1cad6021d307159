"""Random rotation and zoom of training patches, with the reference's probabilities: one affine map.

It is drawn before anything is read, and applied to tensors on any device. Images are interpolated linearly, as in
nnU-Net 2.8.1. Labels are too, each class by itself, and the one with the largest share is kept; where all neighbours of
a place are of one class (all but a few per cent) that needs no sums, and how many classes there are does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from autospine.data.structure import IGNORED
from autospine.planning.document.configuration import Configuration

P_ROTATION = 0.2
P_SCALING = 0.2
MARGIN = 1
"""Voxels read around what an affine map needs: neighbours of the outermost places."""
EQUAL = 1e-6
"""Difference of two shares that float32 does not tell from none."""
_MIXED = 256
"""Added to a class where neighbours are of several."""


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
        reach = np.abs(self.matrix) @ half + MARGIN
        if self.in_plane:
            reach[0] = half[0]
        low = np.floor(centre - reach).astype(int)
        high = np.ceil(centre + reach).astype(int) + 1
        # the box stays centred on the patch, so that the map below needs no offset of its own
        return [list(bounds) for bounds in zip(low.tolist(), high.tolist(), strict=True)]

    def apply_image(self, image: Tensor, patch: tuple[int, int, int]) -> Tensor:
        """Float (C, *box) -> (C, *patch), linear; 0 outside."""
        grid = self._grid(image.shape[1:], patch, image.device)
        if self.in_plane:
            # slices are channels that share one grid
            turned = functional.grid_sample(image.flatten(0, 1)[None], grid, align_corners=True)
            return turned.view(len(image), image.shape[1], *patch[1:])
        return functional.grid_sample(image[None], grid, align_corners=True)[0]

    def apply_label(self, label: Tensor, patch: tuple[int, int, int]) -> Tensor:
        """Classes (*box) uint8 -> (*patch): each interpolated linearly, and the one with the largest share is kept.

        Of two whose shares are equal the higher one is kept, any class before `IGNORED`, and that before 0.
        """
        stacked, places = self._stacked(label), self._places(label.shape, patch, label.device)
        lower = [
            place.floor().clamp_(0, edge - 2).flatten() for place, edge in zip(places, stacked.shape[1:], strict=True)
        ]
        first = _index(lower, stacked.shape[1:])
        found = _coded(stacked).flatten(1).index_select(1, first)
        mixed = (found >= _MIXED).flatten().nonzero()[:, 0]
        settled = found.to(torch.uint8).flatten()
        if len(mixed):
            apart, at = mixed // len(first), mixed % len(first)
            share = [(place.flatten()[at] - low[at]).clamp_(0, 1) for place, low in zip(places, lower, strict=True)]
            settled[mixed] = _settled(stacked, apart, first[at], share)
        return settled.view(patch)

    def apply_nearest(self, values: Tensor, patch: tuple[int, int, int]) -> Tensor:
        """(*box) -> (*patch): the value (a class, a size) of the nearest voxel."""
        stacked, places = self._stacked(values), self._places(values.shape, patch, values.device)
        nearest = [
            place.add(0.5).floor_().clamp_(0, edge - 1).flatten()
            for place, edge in zip(places, stacked.shape[1:], strict=True)
        ]
        return stacked.flatten(1).index_select(1, _index(nearest, stacked.shape[1:])).view(patch)

    def _axes(self) -> slice:
        return slice(1 if self.in_plane else 0, 3)

    def _stacked(self, array: Tensor) -> Tensor:
        """(slices, rows, columns) where slices are interpolated one by one, else (1, *box)."""
        return array if self.in_plane else array[None]

    def _grid(self, box: Sequence[int], patch: tuple[int, int, int], device: torch.device) -> Tensor:
        """The places of a patch in its box as `grid_sample` takes them: -1 and 1 are the outermost centres, x first."""
        places = self._places(box, patch, device)
        halves = [(edge - 1) / 2 for edge in tuple(box)[self._axes()]]
        return torch.stack([place / half - 1 for place, half in zip(places, halves, strict=True)][::-1], dim=-1)[None]

    def _places(self, box: Sequence[int], patch: tuple[int, int, int], device: torch.device) -> list[Tensor]:
        """Along each axis of the box the voxel (*patch) at which each place of the patch lies, float32."""
        axes = self._axes()
        edges, matrix = list(patch)[axes], self.matrix[axes, axes]
        first = (np.array(tuple(box)[axes]) - 1) / 2 - matrix @ ((np.array(edges) - 1) / 2)
        steps = [torch.arange(edge, device=device, dtype=torch.float32) for edge in edges]
        steps = [step.view(-1, *[1] * (len(edges) - 1 - axis)) for axis, step in enumerate(steps)]
        places = []
        for begin, row in zip(first.tolist(), matrix.tolist(), strict=True):
            place = steps[0] * row[0] + begin
            for step, by in zip(steps[1:], row[1:], strict=True):
                place = place + step * by
            places.append(place)
        return places


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
        zoom = rng.uniform(*training.scale_range)
        factors = np.array([1.0 if in_plane else zoom, zoom, zoom])
        matrix = matrix @ np.diag(factors)
    return SpatialTransform(matrix, in_plane)


def _rotation(axis: int, angle: float) -> npt.NDArray[np.float64]:
    """Rotation about array axis `axis` by `angle` radians, (3, 3)."""
    matrix, plane = np.eye(3), [other for other in range(3) if other != axis]
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix[np.ix_(plane, plane)] = [[cosine, -sine], [sine, cosine]]
    return matrix


def _index(places: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """(n,) int64: where voxels at whole `places` (axes x (n,)) lie in an array of this shape that is flattened."""
    whole = torch.float32 if prod(shape) < 2**24 else torch.float64  # what these hold exactly
    index = places[0].to(whole)
    for place, edge in zip(places[1:], shape[1:], strict=True):
        index = torch.add(place, index, alpha=edge)
    return index.long()


def _coded(stacked: Tensor) -> Tensor:
    """(stacks, *box) int16: the class, and `_MIXED` more where one of the next voxels is of another class."""
    mixed = torch.zeros(stacked.shape, dtype=torch.bool, device=stacked.device)
    for axis in range(1, stacked.ndim):
        # what differs along this axis, or did so in any of the two along the others
        low, high = (stacked.narrow(axis, first, stacked.shape[axis] - 1) for first in (0, 1))
        before = mixed.narrow(axis, 0, stacked.shape[axis] - 1)
        before |= mixed.narrow(axis, 1, stacked.shape[axis] - 1).clone()
        before |= low != high
    return stacked.to(torch.int16).add_(mixed, alpha=_MIXED)


def _settled(stacked: Tensor, apart: Tensor, first: Tensor, share: Sequence[Tensor]) -> Tensor:
    """(n,) classes at places whose corners are of several.

    Args:
        stacked: (stacks, *box) classes.
        apart: (n,) the stack of each place.
        first: (n,) the lower corner of each, as an index of a voxel.
        share: (axes, n) how far from the lower corner to the next one a place lies, 0 to 1.
    """
    strides = stacked.stride()[1:]
    corners = _corners(len(strides))
    offsets = [sum(step for step, up in zip(strides, corner, strict=True) if up) for corner in corners]
    begin = apart * stacked.stride(0) + first
    labels = torch.stack([stacked.flatten()[begin + offset] for offset in offsets])
    sides = torch.stack([torch.stack([1 - part, part]) for part in share])
    weights = torch.stack([sides[range(len(corner)), corner].prod(0) for corner in corners])
    # background comes last, what is not known before it
    rank = torch.where(labels == IGNORED, 1, torch.where(labels > 0, labels.short() + 1, 0)).short()
    shares = torch.stack([(weights * (rank == ranked)).sum(0) for ranked in rank])
    tied = shares >= shares.amax(0) - EQUAL
    best = torch.where(tied, rank, -1).amax(0)
    return torch.where(best == 1, IGNORED, (best - 1).clamp(min=0)).to(torch.uint8)


def _corners(axes: int) -> list[tuple[int, ...]]:
    """Of the voxels around a place, the lower one first: 1 along an axis where it is the next."""
    return [tuple(index >> axis & 1 for axis in range(axes)) for index in range(2**axes)]
