"""Random faults in the segmentation that a cascade starts from, so that it does not learn to copy it.

The previous stage's segmentations of the training cases are about as good as those it will meet, never the same; two
disturbances, with the reference's numbers, widen what the second network has seen:

    a class grown, shrunk, opened or closed by a ball     0.4 of the samples
    a connected piece of a class taken away               0.2 of the samples

Balls of up to 8 voxels have 2000 of them: a distance map gives the same result without visiting each.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

P_OPERATOR, P_REMOVAL = 0.4, 0.2
"""Of a sample, as in nnU-Net."""
P_PER_LABEL = 0.5
"""Of a class of a chosen sample, for both, as in nnU-Net 2.8.1."""
RADII_VOXELS = (1, 8)
"""Smallest and largest ball, as in nnU-Net."""
LARGEST_SHARE = 0.15
"""Of the patch: a larger piece is never removed, since nothing would be left to start from (nnU-Net's number)."""

Mask = npt.NDArray[np.bool_]


def disturb(channels: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Disturb one-hot `channels` (K, a0, a1, a2) of a training sample in place; a voxel keeps at most one class."""
    if rng.random() < P_OPERATOR:
        for index in _chosen(len(channels), rng):
            _reshape_class(channels, index, rng)
    if rng.random() < P_REMOVAL:
        for index in _chosen(len(channels), rng):
            _remove_piece(channels[index], rng)


def _chosen(count: int, rng: np.random.Generator) -> list[int]:
    """Classes that are disturbed, in random order: what one gains, another loses."""
    return [int(index) for index in rng.permutation(count) if rng.random() < P_PER_LABEL]


def _reshape_class(channels: npt.NDArray[np.float32], index: int, rng: np.random.Generator) -> None:
    """Grow, shrink, open or close one class by a random ball; voxels that it gains leave their class."""
    operator = (dilate, erode, open_, close)[int(rng.integers(4))]
    radius = int(rng.integers(RADII_VOXELS[0], RADII_VOXELS[1] + 1))
    mask = channels[index] > 0
    if not mask.any():
        return
    # beyond this box nothing can change: a ball reaches no farther, and one voxel of background bounds an erosion
    reach = radius + 1
    box = tuple(slice(max(int(found.min()) - reach, 0), int(found.max()) + reach + 1) for found in np.nonzero(mask))
    before = mask[box]
    after = operator(before, radius)
    part = channels[(slice(None), *box)]
    part[:, after & ~before] = 0
    part[index] = after


def _remove_piece(channel: npt.NDArray[np.float32], rng: np.random.Generator) -> None:
    """Set a random connected piece of `channel` to 0, unless it covers too much of the patch."""
    pieces, count = ndimage.label(channel > 0, structure=np.ones((3,) * channel.ndim))
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    small = [piece for piece in range(1, count + 1) if sizes[piece] < LARGEST_SHARE * channel.size]
    if small:
        channel[pieces == small[int(rng.integers(len(small)))]] = 0


def dilate(mask: Mask, radius: int) -> Mask:
    """All voxels within `radius` voxels of `mask`."""
    if not mask.any():
        return mask
    grown: Mask = ndimage.distance_transform_edt(~mask) <= radius
    return grown


def erode(mask: Mask, radius: int) -> Mask:
    """The voxels of `mask` farther than `radius` voxels from all others; the border of the array takes nothing away."""
    return ~dilate(~mask, radius)


def open_(mask: Mask, radius: int) -> Mask:
    """Eroded, then dilated: what is thinner than the ball is gone."""
    return dilate(erode(mask, radius), radius)


def close(mask: Mask, radius: int) -> Mask:
    """Dilated, then eroded: gaps narrower than the ball are filled."""
    return erode(dilate(mask, radius), radius)
