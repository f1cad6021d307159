"""Connected components (lesions) of a prepared label: the size of each, and where it can be found.

    row of a class   0 1 1 0 1 1 1 1 0        sizes      0 2 2 0 4 4 4 4 0
                                              voxels     1 2 | 4 5 6 7        offsets  0 2 6

Voxels of a class that share a corner are connected, as where lesions are counted. The size is on the prepared grid: in
voxels, or for a 2D network in pixels per slice, the mean over the slices that the component touches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

VOXELS_ENOUGH = 2_000
"""Voxels kept per component, from which patches are forced onto it: a training of 250 000 steps draws a lesion among a
hundred some thousand times (ours)."""


@dataclass(frozen=True)
class Components:
    """The connected components of a label (a0, a1, a2), class by class."""

    sizes: npt.NDArray[np.float32]
    """(a0, a1, a2): size of the voxel's component, 0 where no class is."""
    locations: dict[int, npt.NDArray[np.int32]]
    """Class index to voxels (n, 3), component after component; classes that the label holds."""
    offsets: dict[int, npt.NDArray[np.int64]]
    """Class index to (k + 1,): component i has the voxels from `offsets[i]` to before `offsets[i + 1]`."""


def measure_components(
    label: npt.NDArray[np.uint8], classes: Iterable[int], *, slices_apart: bool, seed: int
) -> Components:
    """The components of `classes` in `label` (a0, a1, a2).

    `slices_apart`: sizes are pixels per slice across the first axis, for 2D networks. Of a component all voxels are
    kept up to `VOXELS_ENOUGH`, then so many, drawn without repetition.
    """
    from scipy import ndimage  # here, so that a process which only opens a store needs numpy alone

    rng = np.random.default_rng(seed)
    sizes = np.zeros(label.shape, np.float32)
    locations, offsets = {}, {}
    boxes = ndimage.find_objects(label)
    for value in classes:
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        pieces, count = ndimage.label(label[box] == value, np.ones((3, 3, 3), bool))
        voxels = np.flatnonzero(pieces)
        own = pieces.reshape(-1)[voxels] - 1
        found = np.bincount(own, minlength=count)
        touched = np.ones(count)
        if slices_apart:
            depth, plane = len(pieces), pieces[0].size
            touched = np.bincount(np.unique(own * np.int64(depth) + voxels // plane) // depth, minlength=count)
        sizes[box][pieces > 0] = (found / touched)[own]
        ends = np.cumsum(found)
        parts = np.split(np.argsort(own, kind="stable"), ends[:-1])
        kept = [
            part if len(part) <= VOXELS_ENOUGH else np.sort(rng.choice(part, VOXELS_ENOUGH, replace=False))
            for part in parts
        ]
        places = np.unravel_index(voxels[np.concatenate(kept)], pieces.shape)
        starts = [side.start for side in box]
        locations[value] = (np.stack(places, axis=1) + starts).astype(np.int32)
        offsets[value] = np.concatenate(([0], np.cumsum([len(part) for part in kept]))).astype(np.int64)
    return Components(sizes, locations, offsets)
