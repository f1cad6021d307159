"""A sliding window: where its tiles lie, how much each voxel of a tile counts, and what all of them say together.

size 10, patch 4, overlap 0.5:   0123456789
                                 ====            tiles start at 0, 2, 4, 6:
                                   ====          the last ends with the image and the
                                     ====        steps between are equal, at most
                                       ====      patch * (1 - overlap)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from autospine.data.geometry import triple

Tile = tuple[slice, slice, slice]
Shape = tuple[int, int, int]
SIGMA_SHARE = 0.125
"""Standard deviation of the blending window as a share of the patch edge (nnU-Net's 1/8)."""


def tile_starts(size: int, patch: int, overlap: float) -> tuple[int, ...]:
    """First voxels of the tiles along one axis of `size` voxels (at least `patch`)."""
    room = size - patch
    if room <= 0:
        return (0,)
    # a tile one voxel thick (a slice) has nothing to overlap with: less than a voxel a step would repeat it
    count = math.ceil(room / max(1.0, patch * (1 - overlap))) + 1
    step = room / (count - 1)
    return tuple(round(step * index) for index in range(count))


def blending_window(patch: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Gaussian weight of each voxel of a patch, highest 1 in the middle, never 0.

    The outer product of one filtered delta per axis is an n-dimensional delta filtered, forty times sooner.
    """
    window = np.ones((), np.float64)
    for size in patch:
        delta = np.zeros(size)
        delta[size // 2] = 1
        edge = ndimage.gaussian_filter1d(delta, size * SIGMA_SHARE, mode="constant", cval=0)
        window = window[..., None] * edge
    weights: npt.NDArray[np.float32] = (window / window.max()).astype(np.float32)
    # far corners underflow to 0, where a voxel seen by one tile alone would be divided by 0
    weights[weights == 0] = weights[weights > 0].min()
    return weights


@dataclass(frozen=True)
class Window:
    """A window that slides over a case."""

    patch: Shape
    """Voxels; of a slice the first edge is 1."""
    overlap: float
    """Share by which neighbouring tiles overlap per axis, 0 to below 1."""
    together: int
    """Tiles that go through the networks at once."""
    outputs: int
    """Of the networks, for each voxel."""

    def tiles(self, shape: Sequence[int]) -> list[Tile]:
        """The tiles of a volume of `shape` (a0, a1, a2), none shorter than the patch, in order."""
        starts = [tile_starts(size, edge, self.overlap) for size, edge in zip(shape, self.patch, strict=True)]
        a, b, c = self.patch
        return [(slice(z, z + a), slice(y, y + b), slice(x, x + c)) for z, y, x in itertools.product(*starts)]

    def slide(
        self,
        shape: Sequence[int],
        inner: Sequence[slice],
        logits_of: Callable[[list[Tile]], Tensor],
        progress: Callable[[int, int], None],
    ) -> Tensor:
        """(outputs, *case): the weighted mean, in each voxel of a case, of what tiles say of it.

        Padded to the patch the case has this `shape` and lies at `inner`. `logits_of` gives of tiles of that (tiles,
        outputs, *patch), on whatever device; `progress` is told (tiles done, tiles in all).
        """
        tiles, weights = self.tiles(shape), torch.from_numpy(blending_window(self.patch))
        # of the case alone: what was put around it would have to be cut off, and a cut copies all classes once more
        case = [span.stop - span.start for span in inner]
        total, weight = torch.zeros((self.outputs, *case)), torch.zeros(case)
        there = None
        for first in range(0, len(tiles), self.together):
            group = tiles[first : first + self.together]
            logits = logits_of(group)
            there = weights.to(logits.device) if there is None else there
            for tile, values in zip(group, logits * there, strict=True):
                place, part = _within(tile, inner)
                total[(slice(None), *place)] += values.cpu()[(slice(None), *part)]
                weight[place] += weights[part]
            progress(first + len(group), len(tiles))
        total /= weight
        return total


def _within(tile: Tile, inner: Sequence[slice]) -> tuple[Tile, Tile]:
    """Where a tile of the padded volume lies in the case, whose place in it is `inner`; and which part of it does."""
    pairs = list(zip(tile, inner, strict=True))
    common = [(max(one.start, case.start), min(one.stop, case.stop)) for one, case in pairs]

    def seen_from(starts: Iterable[int]) -> Tile:
        return triple(slice(low - start, high - start) for (low, high), start in zip(common, starts, strict=True))

    return seen_from(case.start for case in inner), seen_from(one.start for one in tile)
