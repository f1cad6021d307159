"""Where patches find each class in a prepared label, and with components (lesions) how large each of these is.

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

from autospine.planning.document.configuration import Configuration

VOXELS_ENOUGH = 2_000
"""Voxels kept per component, from which patches are forced onto it: a training of 250 000 steps draws a lesion among a
hundred some thousand times (ours)."""
_LOCATIONS_ENOUGH = 10_000
"""Voxels kept per class: enough that a training never sees a pattern (nnU-Net's number)."""
_LOCATIONS_SHARE = 0.01
"""... or this share of a class, where that is more (nnU-Net's number)."""

Voxels = dict[int, npt.NDArray[np.int32]]
"""Class index to voxels (n, 3); classes that the label holds."""
Offsets = dict[int, npt.NDArray[np.int64]]
"""Class index to (k + 1,): component i has the voxels from `offsets[i]` to before `offsets[i + 1]`."""


@dataclass(frozen=True)
class Components:
    """The connected components of a label (a0, a1, a2), class by class."""

    sizes: npt.NDArray[np.float32]
    """(a0, a1, a2): size of the voxel's component, 0 where no class is."""
    locations: Voxels
    """Component after component."""
    offsets: Offsets


def locate(
    label: npt.NDArray[np.uint8], classes: Iterable[int], configuration: Configuration, seed: int
) -> tuple[Voxels, npt.NDArray[np.float32] | None, Offsets]:
    """Locations, sizes and offsets of `classes` as a `StoredCase` of `configuration` has them."""
    if not configuration.by_component:
        return class_locations(label, classes, seed), None, {}
    found = measure_components(label, classes, slices_apart=configuration.network.dimension == 2, seed=seed)
    return found.locations, found.sizes, found.offsets


def class_locations(label: npt.NDArray[np.uint8], classes: Iterable[int], seed: int) -> Voxels:
    """Voxels (n, 3) of each of `classes`, none the background, in `label` (a0, a1, a2): no voxel twice, sorted.

    n is all of a class up to 10 000 voxels, or 1 % of it where that is more; a class that is not there has no entry.
    """
    rng = np.random.default_rng(seed)
    foreground = np.flatnonzero(label)
    values = label.reshape(-1)[foreground]
    locations = {}
    for value in classes:
        voxels = foreground[values == value]
        count = max(min(_LOCATIONS_ENOUGH, len(voxels)), int(np.ceil(len(voxels) * _LOCATIONS_SHARE)))
        if count < len(voxels):
            voxels = np.sort(rng.choice(voxels, count, replace=False))
        if count:
            locations[value] = np.stack(np.unravel_index(voxels, label.shape), axis=1).astype(np.int32)
    return locations


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
        kept = [
            part if len(part) <= VOXELS_ENOUGH else np.sort(rng.choice(part, VOXELS_ENOUGH, replace=False))
            for part in np.split(np.argsort(own, kind="stable"), np.cumsum(found)[:-1])
        ]
        places = np.unravel_index(voxels[np.concatenate(kept)], pieces.shape)
        locations[value] = (np.stack(places, axis=1) + [side.start for side in box]).astype(np.int32)
        offsets[value] = np.cumsum([0, *map(len, kept)], dtype=np.int64)
    return Components(sizes, locations, offsets)
