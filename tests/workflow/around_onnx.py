"""What is segmented by networks that came out of autospine, for tests."""

from __future__ import annotations

import numpy as np

from autospine.data.geometry import Geometry, Volume

FLIPS = (False, True, True)
"""Of the images here: their X and Y run the other way."""


def image_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], channels: int = 1) -> Volume:
    """Noise in a box of zeros."""
    array = np.zeros((channels, *shape), np.float32)
    inner = (slice(1, None), slice(2, -1), slice(None, -3))
    array[(slice(None), *inner)] = np.random.default_rng(0).normal(100, 10, array[(slice(None), *inner)].shape)
    return Volume(array, Geometry(shape, spacing_mm, (0.0, 0.0, 0.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)))


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """But for voxels in which two outputs are as large to the last bits."""
    assert len(np.unique(expected)) > 2
    assert (found == expected).mean() >= 0.999
