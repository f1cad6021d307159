"""Masks of so many voxels of each class."""

from __future__ import annotations

import numpy as np

LABELS = (("L1", 5), ("L2", 4))
SPACING = (4.0, 2.0, 1.0)


def mask(**counts: int) -> np.ndarray:
    """(2, 3, 4) labels; `L1=3` puts the value of L1 in three voxels, each class from its own row on."""
    array = np.zeros((2, 3, 4), np.uint8)
    flat = array.reshape(-1)
    for (_, value), start in zip(LABELS, (0, 12), strict=True):
        name = next(name for name, number in LABELS if number == value)
        flat[start : start + counts.get(name, 0)] = value
    return array
