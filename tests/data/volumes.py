"""A volume that shows a swapped axis, all orders it can be stored in, and headers that are edited."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Geometry, Orientation, Volume

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
ORIENTATIONS = [
    Orientation((i, j, k), (flip_i, flip_j, flip_k))
    for i, j, k in itertools.permutations((0, 1, 2))
    for flip_i, flip_j, flip_k in itertools.product((False, True), repeat=3)
]


def rotation(*degrees: float) -> npt.NDArray[np.float64]:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        i, j = [other for other in range(3) if other != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def volume(direction: Any = IDENTITY, dtype: Any = np.int16) -> Volume:
    """Another size and spacing on each axis, and no voxel like another."""
    array = np.arange(3 * 4 * 5, dtype=dtype).reshape(1, 3, 4, 5)
    axes = tuple(float(value) for value in np.asarray(direction).ravel())
    return Volume(array, Geometry((3, 4, 5), (4.0, 1.5, 0.7), (-12.5, 30.0, 7.25), axes))


def nifti(path: Path, **fields: tuple[str, int, tuple[Any, ...]]) -> None:
    """Write fields (format, offset, values) into the header of an unpacked NIfTI file."""
    content = bytearray(path.read_bytes())
    for form, offset, values in fields.values():
        struct.pack_into("<" + form, content, offset, *values)
    path.write_bytes(content)
