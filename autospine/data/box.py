"""The box around what is not zero: the part of an image that is worth preparing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import triple


def nonzero_box(image: npt.NDArray[Any]) -> tuple[slice, slice, slice]:
    """Slices (Z, Y, X) of the smallest box with every voxel of `image` (C, Z, Y, X) that is nonzero in some channel.

    An image of zeros keeps its whole grid. The reference fills holes first; a hole cannot change a box.
    """
    return triple(box_around(np.any(image != 0, axis=0)))


def box_around(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    """Slices of the smallest box that holds a mask; of its whole grid where that is empty."""
    box, left = [], mask
    for _ in mask.shape:
        hits = np.flatnonzero(left.any(axis=tuple(range(1, left.ndim))))
        if hits.size == 0:
            return tuple(slice(0, size) for size in mask.shape)
        box.append(slice(int(hits[0]), int(hits[-1]) + 1))
        left = np.asarray(left[box[-1]].any(axis=0))  # what is smaller by an axis says the others
    return tuple(box)
