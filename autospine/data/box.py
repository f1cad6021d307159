"""The box around what is not zero: the part of an image that is worth preparing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Box = tuple[slice, slice, slice]


def nonzero_box(image: npt.NDArray[Any]) -> Box:
    """Slices (Z, Y, X) of the smallest box with every voxel of `image` (C, Z, Y, X) that is nonzero in some channel.

    An image of zeros keeps its whole grid. The reference fills holes first; a hole cannot change a box.
    """
    nonzero = np.any(image != 0, axis=0)
    sides: list[slice] = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hit = np.flatnonzero(nonzero.any(axis=others))
        if hit.size == 0:
            return slice(0, image.shape[1]), slice(0, image.shape[2]), slice(0, image.shape[3])
        sides.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return sides[0], sides[1], sides[2]
