"""Labels and network outputs from one grid to another, with the numbers of `skimage.transform.resize`.

Both are interpolated linearly, and most of their voxels lie among neighbours that agree: those are certain, and only
the interfaces are computed, voxel by voxel and with the additions in scipy's order, so that even ties fall the same
way. Where one axis is much coarser than the others, slice by slice, and then the nearest slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial, reduce
from itertools import product
from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import triple
from autospine.errors import PlanError
from autospine.preprocessing.resample import Floats, Index, Regrid, nearest_slices, operator

Shape = tuple[int, int, int]

_SLAB_VOXELS = 1 << 20
"""Voxels of the new grid looked at together; a single larger slice is taken whole."""
_BLOCK_VOXELS = 1 << 16
"""Interface voxels computed together: about 20 MB of indices and weights."""


@lru_cache(maxsize=64)
def _neighbours(old: int, new: int) -> tuple[tuple[Index, Floats], tuple[Index, Floats]]:
    """Linear interpolation along one axis: lower and upper neighbour of each sample, each with its weight.

    Beyond the outermost samples both are the edge, with their two weights, which is how scipy adds them up.
    """
    position = (np.arange(new) + 0.5) * (old / new) - 0.5
    below = np.floor(position)
    first = 1.0 - (position - below)
    lower = np.clip(below, 0, old - 1).astype(np.intp)
    upper = np.clip(below + 1, 0, old - 1).astype(np.intp)
    return (lower, first), (upper, 1.0 - first)


Corner = tuple[Index, tuple[Floats, ...]]
"""One neighbour of some voxels: its place in memory on the old grid, and its weight on each axis that changes."""


def _interfaces(
    labels: npt.NDArray[np.uint8], result: npt.NDArray[np.uint8], steps: Shape
) -> Iterator[tuple[Index, list[Corner]]]:
    """Fill the certain voxels of `result` from `labels`; yield the others in blocks, for the caller to fill.

    A block is the voxels' flat index into `result` and their two, four or eight neighbours, in scipy's order. `steps`
    are how far apart neighbours are in memory on each axis of what the caller interpolates, in elements.
    """
    moving = [axis for axis in range(3) if labels.shape[axis] != result.shape[axis]]
    low = high = labels
    for axis in moving:
        after = np.minimum(np.arange(labels.shape[axis]) + 1, labels.shape[axis] - 1)
        low, high = np.minimum(low, low.take(after, axis)), np.maximum(high, high.take(after, axis))
    mixed = low != high
    sides = [
        _neighbours(old, new) if old != new else ((np.arange(new), np.ones(new)),)
        for old, new in zip(labels.shape, result.shape, strict=True)
    ]
    plane = result.shape[1] * result.shape[2]
    step = max(1, _SLAB_VOXELS // plane)
    for start in range(0, len(result), step):
        rows = slice(start, start + step)
        lower = [sides[0][0][0][rows], sides[1][0][0], sides[2][0][0]]
        result[rows] = _pick(labels, lower)
        uncertain = np.flatnonzero(_pick(mixed, lower)) + start * plane
        for first in range(0, len(uncertain), _BLOCK_VOXELS):
            block = uncertain[first : first + _BLOCK_VOXELS]
            at = np.unravel_index(block, result.shape)
            corners: list[Corner] = []
            for corner in product(*sides):
                z, y, x = (index[at[axis]] for axis, (index, _) in enumerate(corner))
                flat = z * steps[0] + y * steps[1] + x * steps[2]
                corners.append((flat, tuple(corner[axis][1][at[axis]] for axis in moving)))
            yield block, corners


def _pick(array: npt.NDArray[Any], index: Sequence[Index]) -> npt.NDArray[Any]:
    """`array[np.ix_(*index)]`, an axis at a time, which is several times quicker."""
    return array.take(index[0], 0).take(index[1], 1).take(index[2], 2)


def resample_label(label: npt.NDArray[np.uint8], way: Regrid) -> npt.NDArray[np.uint8]:
    """`label` (Z, Y, X) on the new grid: each class is interpolated and taken where it reaches 0.5.

    The higher class wins a tie; where no class reaches 0.5 it is 0. Along an axis treated apart the nearest slice is
    taken. `order_label` is 1, or 0 for the nearest voxel throughout; another raises `PlanError`.
    """
    return _in_plane_then_slices(label, way, way.plan.order_label, _half_rule)


def argmax_on_grid(logits: npt.NDArray[Any], way: Regrid) -> npt.NDArray[np.uint8]:
    """The winning class of `logits` (K, z, y, x), interpolated linearly in float64, on the new grid (Z, Y, X).

    Where all neighbours share their winner, so does the voxel (interpolation is convex); the others are computed slab
    by slab. Memory beyond the logits stays at a few bytes per voxel, however many classes there are. The lower class
    wins a tie. `order_probability` is 1 or 0; another raises `PlanError`.
    """
    winners = np.empty(logits.shape[1:], np.uint8)
    for row in range(len(winners)):
        winners[row] = logits[:, row].argmax(axis=0)
    return _in_plane_then_slices(winners, way, way.plan.order_probability, partial(_interpolated_winner, logits))


def positive_on_grid(logit: npt.NDArray[Any], way: Regrid) -> npt.NDArray[np.bool_]:
    """Where `logit` (z, y, x), interpolated as `argmax_on_grid` does, is above 0 on the new grid (Z, Y, X)."""
    above, linear = (logit > 0).view(np.uint8), partial(_interpolated_winner, logit[None], above=0.0)
    return _in_plane_then_slices(above, way, way.plan.order_probability, linear) > 0


def _in_plane_then_slices(
    labels: npt.NDArray[np.uint8],
    way: Regrid,
    order: int,
    linear: Callable[[npt.NDArray[np.uint8], Shape], npt.NDArray[np.uint8]],
) -> npt.NDArray[np.uint8]:
    """`linear` (order 1) or the nearest voxel (order 0); the nearest slice along an axis treated apart."""
    if order not in (0, 1):
        raise PlanError("plan", f"interpolation order {order} for labels or probabilities", "0 or 1")
    new_shape, apart = tuple(way.shape), way.apart
    if new_shape == labels.shape:
        return labels
    target = triple(labels.shape[axis] if axis == apart else new_shape[axis] for axis in range(3))
    if order == 1 and target != labels.shape:
        labels = linear(labels, target)
    elif order == 0:
        labels = _pick(labels, [operator(old, new, 0).argmax(1) for old, new in zip(labels.shape, target, strict=True)])
    if apart is not None and new_shape[apart] != labels.shape[apart]:
        labels = labels.take(nearest_slices(labels.shape[apart], new_shape[apart]), apart)
    return labels


def _half_rule(label: npt.NDArray[np.uint8], new_shape: Shape) -> npt.NDArray[np.uint8]:
    """The highest class whose interpolated indicator is at least 0.5, else 0."""
    result = np.empty(new_shape, np.uint8)
    flat_result, (source, steps) = result.reshape(-1), _in_memory(label)
    for block, corners in _interfaces(label, result, steps):
        values = [source[flat] for flat, _ in corners]
        shares = [_weighted(1.0, weights) for _, weights in corners]
        best = np.zeros(len(block), np.uint8)
        # only the classes at the corners can win, so the number of classes costs nothing
        for candidate in values:
            total = np.zeros(len(block))
            for value, share in zip(values, shares, strict=True):
                total += np.where(value == candidate, share, 0.0)
            np.maximum(best, candidate, out=best, where=total >= 0.5)
        flat_result[block] = best
    return result


def _interpolated_winner(
    logits: npt.NDArray[Any], winners: npt.NDArray[np.uint8], new_shape: Shape, above: float = -np.inf
) -> npt.NDArray[np.uint8]:
    """The class with the largest interpolated value; `logits` (K, z, y, x) lie over the grid of `winners`.

    Where all classes but a first one have logits, that one has the value `above` everywhere.
    """
    result = np.empty(new_shape, np.uint8)
    flat_result, first = result.reshape(-1), 0 if above == -np.inf else 1
    lines = [_in_memory(channel) for channel in logits]
    for block, corners in _interfaces(winners, result, lines[0][1]):
        best, largest = np.zeros(len(block), np.uint8), np.full(len(block), above)
        for index, (channel, _) in enumerate(lines, first):
            total = np.zeros(len(block))
            for flat, weights in corners:
                total += _weighted(channel[flat].astype(np.float64), weights)
            larger = total > largest
            best[larger] = index
            np.copyto(largest, total, where=larger)
        flat_result[block] = best
    return result


def _in_memory(array: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Shape]:
    """The elements of `array` (Z, Y, X) as they lie in memory, without a copy, and how far apart neighbours are there.

    Logits of many classes are the largest thing that a prediction holds, and turned axes are no reason to hold them
    twice.
    """
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    z, y, x = (stride // array.itemsize for stride in array.strides)
    length = 1 + sum((size - 1) * step for size, step in zip(array.shape, (z, y, x), strict=True))
    return np.lib.stride_tricks.as_strided(array, (length,), (array.itemsize,), writeable=False), (z, y, x)


def _weighted(value: Floats | float, weights: tuple[Floats, ...]) -> Floats:
    """`value` times its weight on each axis, in that order: a different order would round differently."""
    return np.asarray(reduce(mul, weights, value), np.float64)
