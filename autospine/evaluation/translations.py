"""The translation that makes two label maps agree best: arrays in, voxels out.

For every translation at once the overlap is a cross-correlation, which a Fourier transform gives. Large maps are
searched on every second or third voxel first, then around what was found there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
    first: Iterable[BoolArray], second: Iterable[BoolArray], spacing_mm: Sequence[float]
) -> Translation | None:
    """The translation of the `first` masks that gives the highest mean Dice with the `second` ones.

    Of each pair the box around it is kept, so that masks which are made one after the other are never all in memory.

    Args:
        first: a mask (Z, Y, X) of each structure.
        second: of the same structures in the same order and shape.
        spacing_mm: voxel size (Z, Y, X).

    Returns:
        None where no structure is in both.
    """
    pairs = [_Pair.of(one, other) for one, other in zip(first, second, strict=True) if one.any() and other.any()]
    if not pairs:
        return None
    low = [min(pair.corner[axis] for pair in pairs) for axis in range(3)]
    high = [max(pair.corner[axis] + pair.first.shape[axis] for pair in pairs) for axis in range(3)]
    shape = triple(end - begin for begin, end in zip(low, high, strict=True))
    thinning = _thinning(shape, spacing_mm)
    thinned = triple(math.ceil(size / step) for size, step in zip(shape, thinning, strict=True))
    start = _searched([pair.thinned_out(low, thinning) for pair in pairs], thinned)
    own = [(pair.first, pair.second) for pair in pairs]
    found = _refined(own, triple(step * thin for step, thin in zip(start, thinning, strict=True)), thinning)
    millimetres = triple(step * size for step, size in zip(found, spacing_mm, strict=True))
    return Translation(millimetres, _mean_dice(own, (0, 0, 0)), _mean_dice(own, found))


@dataclass(frozen=True)
class _Pair:
    """Two masks of a structure in the box around both, which begins at `corner`."""

    corner: Step
    first: BoolArray
    second: BoolArray

    @staticmethod
    def of(first: BoolArray, second: BoolArray) -> _Pair:
        """Copies of the part that is needed, so that the masks themselves can be let go."""
        box = box_around(first | second)
        return _Pair(triple(side.start for side in box), first[box].copy(), second[box].copy())

    def thinned_out(self, low: Sequence[int], thinning: Step) -> _Pair:
        """Every so-many-th voxel, counted from `low` on; the corner in such steps from there."""
        at = [corner - begin for corner, begin in zip(self.corner, low, strict=True)]
        kept = tuple(slice(-place % step, None, step) for place, step in zip(at, thinning, strict=True))
        corner = triple(-(-place // step) for place, step in zip(at, thinning, strict=True))
        return _Pair(corner, self.first[kept], self.second[kept])


def _thinning(shape: Sequence[int], spacing_mm: Sequence[float]) -> Step:
    """Every how many-th voxel is searched along each axis: the finest axes are thinned out first."""
    steps = [1, 1, 1]
    while math.prod(math.ceil(size / step) for size, step in zip(shape, steps, strict=True)) > SEARCHED_VOXELS:
        steps[min(range(3), key=lambda axis: (spacing_mm[axis] * steps[axis], -shape[axis]))] += 1
    return triple(steps)


def _searched(pairs: Sequence[_Pair], shape: Step) -> Step:
    """The best translation within `REACH`, in voxels, of pairs in a box of this `shape`; none of what has no voxel."""
    pairs = [pair for pair in pairs if pair.first.any() and pair.second.any()]
    if not pairs:
        return 0, 0, 0
    reach = [min(size - 1, max(1, math.ceil(REACH * size))) if size > 1 else 0 for size in shape]
    padded = [fft.next_fast_len(size + far, real=True) for size, far in zip(shape, reach, strict=True)]
    spectrum: npt.NDArray[np.complex64] | None = None
    for pair in pairs:
        one, other = (_laid(mask, pair.corner, shape) for mask in (pair.first, pair.second))
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


def _laid(mask: BoolArray, corner: Step, shape: Step) -> BoolArray:
    """A mask that begins at `corner`, in a box of this `shape`."""
    whole = np.zeros(shape, bool)
    whole[tuple(slice(begin, begin + size) for begin, size in zip(corner, mask.shape, strict=True))] = mask
    return whole


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
