"""Where patches find each class in a prepared label."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_LOCATIONS_ENOUGH = 10_000
"""Voxels kept per class: enough that a training never sees a pattern (nnU-Net's number)."""
_LOCATIONS_SHARE = 0.01
"""... or this share of a class, where that is more (nnU-Net's number)."""


def class_locations(
    label: npt.NDArray[np.uint8], classes: Iterable[int], seed: int
) -> dict[int, npt.NDArray[np.int32]]:
    """Voxels (n, 3) of each of `classes` that `label` (a0, a1, a2) holds, drawn without repetition and sorted.

    n is all of a class up to 10 000 voxels, or 1 % of it where that is more; a class that is not there has no entry.
    """
    rng = np.random.default_rng(seed)
    foreground = np.flatnonzero(label)
    values = label.reshape(-1)[foreground]
    locations = {}
    for value in classes:
        voxels = foreground[values == value] if value else np.flatnonzero(label == 0)
        count = max(min(_LOCATIONS_ENOUGH, len(voxels)), int(np.ceil(len(voxels) * _LOCATIONS_SHARE)))
        if count < len(voxels):
            voxels = np.sort(rng.choice(voxels, count, replace=False))
        if count:
            locations[value] = np.stack(np.unravel_index(voxels, label.shape), axis=1).astype(np.int32)
    return locations
