"""The translation that makes two label maps agree best: arrays in, voxels out.

For every translation at once the overlap is a cross-correlation, which a Fourier transform gives. Large maps are
searched on every second or third voxel first, then around what was found there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import fft

from autospine.data.box import box_around
from autospine.data.geometry import Triple, triple

BoolArray = npt.NDArray[np.bool_]
Step = tuple[int, int, int]

SEARCHED_VOXELS = 1 << 19
"""Voxels of a box that are searched at once; larger ones are thinned out. More take longer and find the same, since
what is found is refined; fewer could miss structures of a few voxels."""
REACH = 0.6
"""Share of the box around both maps that a translation may span along each axis. Two equal shapes, one of them moved by
its whole length, lie in a box of twice that length: 0.5 of it."""
LEAST_GAIN = 0.002
"""Of Dice for a voxel of translation: among translations that agree equally well, the shortest is taken."""


@dataclass(frozen=True)
class Translation:
    """A translation of the first map, and how well it then agrees with the second."""

    millimetres: Triple
    """Along the axes (Z, Y, X)."""
    before: float
    """Mean Dice over the structures without it, 0 to 1."""
    after: float
    """Mean Dice with it."""

    @property
    def length_mm(self) -> float:
        """How far it goes."""
        return math.hypot(*self.millimetres)


def best_translation(
    first: Sequence[BoolArray], second: Sequence[BoolArray], spacing_mm: Sequence[float]
) -> Translation | None:
    """The translation of the `first` masks that gives the highest mean Dice with the `second` ones.

    Args:
        first: a mask (Z, Y, X) of each structure.
        second: of the same structures in the same order and shape.
        spacing_mm: voxel size (Z, Y, X).

    Returns:
        None where no structure is in both.
    """
    pairs = [(one, other) for one, other in zip(first, second, strict=True) if one.any() and other.any()]
    if not pairs:
        return None
    box = box_around(np.logical_or.reduce([mask for pair in pairs for mask in pair]))
    pairs = [(one[box], other[box]) for one, other in pairs]
    boxes = [box_around(one | other) for one, other in pairs]
    own = [(one[part], other[part]) for (one, other), part in zip(pairs, boxes, strict=True)]
    thinning = _thinning(pairs[0][0].shape, spacing_mm)
    thinned = tuple(slice(None, None, step) for step in thinning)
    coarse = [(one[thinned], other[thinned]) for one, other in pairs]
    coarse = [(one, other) for one, other in coarse if one.any() and other.any()]
    start = _searched(coarse) if coarse else (0, 0, 0)
    found = _refined(own, triple(step * thin for step, thin in zip(start, thinning, strict=True)), thinning)
    millimetres = triple(step * size for step, size in zip(found, spacing_mm, strict=True))
    return Translation(millimetres, _mean_dice(own, (0, 0, 0)), _mean_dice(own, found))


def _thinning(shape: Sequence[int], spacing_mm: Sequence[float]) -> Step:
    """Every how many-th voxel is searched along each axis: the finest axes are thinned out first."""
    steps = [1, 1, 1]
    while math.prod(math.ceil(size / step) for size, step in zip(shape, steps, strict=True)) > SEARCHED_VOXELS:
        steps[min(range(3), key=lambda axis: (spacing_mm[axis] * steps[axis], -shape[axis]))] += 1
    return triple(steps)


def _searched(pairs: Sequence[tuple[BoolArray, BoolArray]]) -> Step:
    """The best translation within `REACH`, in voxels."""
    shape = pairs[0][0].shape
    reach = [min(size - 1, max(1, math.ceil(REACH * size))) if size > 1 else 0 for size in shape]
    padded = [fft.next_fast_len(size + far, real=True) for size, far in zip(shape, reach, strict=True)]
    spectrum: npt.NDArray[np.complex64] | None = None
    for one, other in pairs:
        weight = np.float32(2 / (np.count_nonzero(one) + np.count_nonzero(other)) / len(pairs))
        moved = fft.rfftn(one.astype(np.float32) * weight, padded)
        there = fft.rfftn(other.astype(np.float32), padded)
        product_of = np.conj(moved) * there
        spectrum = product_of if spectrum is None else spectrum + product_of
    dice = fft.irfftn(spectrum, padded)
    allowed = np.ix_(*(range(-far, far + 1) for far in reach))
    window = dice[allowed]
    lengths = [np.abs(np.arange(-far, far + 1)) for far in reach]
    window = window - LEAST_GAIN * np.add.outer(np.add.outer(lengths[0], lengths[1]), lengths[2])
    place = np.unravel_index(int(np.argmax(window)), window.shape)
    return triple(int(index) - far for index, far in zip(place, reach, strict=True))


def _refined(pairs: Sequence[tuple[BoolArray, BoolArray]], start: Step, thinning: Step) -> Step:
    """The best translation of `start` and those around it, as far as thinning may have missed it."""
    if max(thinning) == 1:
        return start
    around = product(*(range(-(step - 1), step) for step in thinning))
    candidates = [triple(base + more for base, more in zip(start, one, strict=True)) for one in around]
    return max(candidates, key=lambda one: _mean_dice(pairs, one) - LEAST_GAIN * sum(map(abs, one)))


def _mean_dice(pairs: Sequence[tuple[BoolArray, BoolArray]], step: Step) -> float:
    """Mean Dice with the first masks moved by `step` voxels; what leaves the box of both overlaps with nothing."""
    total = 0.0
    for one, other in pairs:
        sides = list(zip(step, one.shape, strict=True))
        kept = tuple(slice(max(0, -by), max(0, size - max(0, by))) for by, size in sides)
        onto = tuple(slice(max(0, by), max(0, size - max(0, -by))) for by, size in sides)
        both = np.count_nonzero(one[kept] & other[onto])
        total += 2 * both / (np.count_nonzero(one) + np.count_nonzero(other))
    return total / len(pairs)
