"""Intensities onto one scale, channel by channel.

`zscore` takes mean and deviation from the case itself: MR intensities have no unit, and one scanner's 300 is
another's 3000. `ct` clips to the range the training set's foreground had and takes its mean and deviation, since
Hounsfield units mean the same everywhere. The rules and the floor of the deviation are nnU-Net's (Isensee 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.parts import Normalisation

_STD_FLOOR = 1e-8
"""Keeps a constant channel finite; above it no real deviation changes."""


def nonzero_mask(image: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where any channel of `image` (C, Z, Y, X) differs from 0, with enclosed holes filled: (Z, Y, X).

    Black voxels inside the body belong to it: leaving them out would shift the mean.
    """
    from scipy import ndimage  # here, so that a process which only opens a store needs numpy alone

    mask = np.zeros(image.shape[1:], np.bool_)
    for channel in image:
        mask |= channel != 0
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(mask)
    return filled


def normalise(
    image: npt.NDArray[Any],
    kinds: Sequence[Normalisation],
    intensities: Sequence[IntensityPlan],
    mask: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """`image` (C, Z, Y, X) with each channel on its own scale, float32; the input is left as it was.

    `mask` (Z, Y, X) restricts `zscore` to the voxels it holds; the others become 0, the mean. `intensities` holds one
    entry per channel and is read for `ct` only.
    """
    result = np.empty(image.shape, np.float32)
    for index, kind in enumerate(kinds):
        match kind:
            case "zscore":
                result[index] = _zscore(image[index], mask)
            case "ct":
                result[index] = _ct(image[index], intensities[index])
    return result


def _zscore(channel: npt.NDArray[Any], mask: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float32]:
    """(channel - mean) / deviation; summed in float64, whatever the channel's type."""
    measured = channel if mask is None else channel[mask]
    if measured.size == 0:
        return np.zeros(channel.shape, np.float32)
    mean = np.float64(measured.mean(dtype=np.float64))
    std = max(float(measured.std(dtype=np.float64)), _STD_FLOOR)
    result = np.empty(channel.shape, np.float32)
    for row, target in zip(channel, result, strict=True):  # in float64 a row at a time, not the whole
        target[...] = (row - mean) / std
    if mask is not None:
        result[~mask] = 0
    return result


def _ct(channel: npt.NDArray[Any], intensity: IntensityPlan) -> npt.NDArray[np.float32]:
    """Clipped to the training set's percentiles, then by its mean and deviation."""
    result, std = np.empty(channel.shape, np.float32), max(intensity.std, _STD_FLOOR)
    for row, target in zip(channel, result, strict=True):
        clipped = np.clip(row.astype(np.float64), intensity.percentile_00_5, intensity.percentile_99_5)
        target[...] = (clipped - intensity.mean) / std
    return result
