"""What a value of a mask is: a whole number from 0, and nothing else.

Masks are often stored as floating-point or scaled numbers, and whole numbers come back from those with a rounding
error. With a `scl_slope` s, as nibabel writes it for labels 0 to 7 in 16 bits, 7 / 65535, a label lies up to s / 2 from
where it belongs:

    1 -> stored 9362 of 65535 -> 0.99998 -> 1
    0.5 (a probability), 1.5 (a mask that was resampled linearly), -1 -> refused with the values found
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.errors import DataError

ROUNDING = 1e-3
"""Distance up to which a value is the whole number beside it: float32 and repeated conversions stay below 1e-4, and a
label that was blended with its neighbour by more than a thousandth is no label."""
LARGEST_ERROR = 0.05
"""The most that the scaling of a file may make of that, reached where 25 labels are stored in 8 bits. Where the stored
numbers stand for values farther apart than twice this, what lies between labels could be anything."""
LARGEST_LABEL = (1 << 31) - 1
"""The largest value that is one; float32 holds the next, not this."""
_INTEGERS = (2, 4, 8, 256, 512, 768, 1024, 1280)
"""Codes of NIfTI for voxels that are stored as whole numbers."""
_LISTED = 8


def whole_values(array: npt.NDArray[Any], path: Path) -> tuple[npt.NDArray[np.integer[Any]], float]:
    """The values of a mask (1, Z, Y, X), read from `path`, as whole numbers (Z, Y, X), and the most that one was moved.

    Raises:
        DataError: several values per voxel, or values that are no whole numbers from 0, with those that were found.
    """
    if len(array) != 1:
        found = f"{len(array)} values per voxel, as in a colour image or a 4D one"
        raise DataError(str(path), found, "one label per voxel", "save the mask as labels, in three dimensions")
    return _rounded(array[0], path)


def whole_layers(array: npt.NDArray[Any], path: Path) -> npt.NDArray[np.integer[Any]]:
    """As `whole_values`, of any number of layers (C, Z, Y, X)."""
    return _rounded(array, path)[0]


def counted_values(values: npt.NDArray[np.integer[Any]]) -> dict[int, int]:
    """Value -> voxels that have it."""
    low, high = int(values.min()), int(values.max())
    if high - low < 1 << 16:  # counting is much faster than the sort of np.unique
        binned = np.bincount((values.astype(np.int64) - low).ravel())
        return {int(index) + low: int(binned[index]) for index in np.flatnonzero(binned)}
    return dict(zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True))


def _rounded(array: npt.NDArray[Any], path: Path) -> tuple[npt.NDArray[np.integer[Any]], float]:
    """The array as whole numbers, and the most that a value was rounded by."""
    if array.dtype == bool:
        return array.astype(np.uint8), 0.0
    whole = array if np.issubdtype(array.dtype, np.integer) else np.rint(array)
    far = np.abs(array - whole) if whole is not array else None
    moved = 0.0 if far is None else float(far.max())
    within = ROUNDING if moved <= ROUNDING else max(ROUNDING, _scaling_error(path))
    if moved > within or whole.min() < 0 or whole.max() >= LARGEST_LABEL + 1:
        wrong = (whole < 0) | (whole >= LARGEST_LABEL + 1)
        raise _no_labels(array[wrong if far is None else wrong | (far > within)], path, within)
    return (array if whole is array else whole.astype(np.int32)), moved


def _no_labels(wrong: npt.NDArray[Any], path: Path, within: float) -> DataError:
    """The error of a mask with the values `wrong`."""
    values, counts = np.unique(wrong, return_counts=True)
    listed = ", ".join(f"{value:.6g} ({count} voxels)" for value, count in zip(values, counts, strict=True))
    if len(values) > _LISTED:
        first = ", ".join(f"{value:.6g}" for value in values[:_LISTED])
        listed = f"{first}, ... ({len(values)} different values in {wrong.size} voxels)"
    remedy = (
        "voxels that are not annotated take a value of their own, which is declared as `ignore`"
        if (wrong == np.rint(wrong)).all()
        else "save labels: threshold a map of probabilities; resample a mask by the nearest neighbour"
    )
    expected = f"whole numbers from 0 (within {within:.2g})"
    return DataError(str(path), f"values that are no labels: {listed}", expected, remedy)


def _scaling_error(path: Path) -> float:
    """How far from a label a NIfTI file that stores scaled whole numbers may hold it; 0 for any other file."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as stream:
        head = stream.read(540)
    kind, slope = 0, 0.0
    for order in "<>":
        if head[:4] == struct.pack(order + "i", 348) and head[344:347] in (b"n+1", b"ni1"):
            kind, slope = *struct.unpack_from(order + "h", head, 70), *struct.unpack_from(order + "f", head, 112)
        elif head[:4] == struct.pack(order + "i", 540) and head[4:7] in (b"n+2", b"ni2"):
            kind, slope = *struct.unpack_from(order + "h", head, 12), *struct.unpack_from(order + "d", head, 176)
    error = 0.501 * abs(slope)  # a little more than half a step, for float32
    return error if kind in _INTEGERS and error <= LARGEST_ERROR else 0.0
