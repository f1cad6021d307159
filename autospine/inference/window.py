"""Where the tiles of a sliding window lie, and how much each voxel of a tile counts.

size 10, patch 4, overlap 0.5:   0123456789
                                 ====            tiles start at 0, 2, 4, 6:
                                   ====          the last ends with the image and the
                                     ====        steps between are equal, at most
                                       ====      patch * (1 - overlap)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

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

    The outer product of one filtered delta per axis: the window that filtering an n-dimensional delta
    gives, forty times sooner.
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
