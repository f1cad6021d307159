"""Labels and network outputs from one grid to another, with the numbers of `skimage.transform.resize`.

Both are interpolated linearly, and most of their voxels lie among neighbours that agree: those are certain, and only
the interfaces are computed, voxel by voxel and with the additions in scipy's order, so that even ties fall the same
way. Where one axis is much coarser than the others, slice by slice, and then the nearest slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
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
PIECE_VOXELS = 1 << 22
"""Voxels of the new grid in a piece; a single larger row is taken whole."""
BLOCK_VOXELS = 1 << 16
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


Side = tuple[Index, Floats]
"""The neighbour of each sample on one side, along one axis, and its weight."""
Sides = tuple[tuple[Side, ...], ...]
"""For each axis both sides, lower and upper, or where the axis keeps its samples one alone."""
Axes = tuple[int, int, int]
_AS_THEY_ARE: Axes = (0, 1, 2)
Corner = tuple[Index, tuple[Floats, ...]]
"""One neighbour of some voxels: its place in memory on the old grid, and its weight on each axis that changes."""


def _sides(old: Shape, new: Shape) -> Sides:
    """Neighbours on the grid `old` of each sample of `new`."""
    return tuple(
        _neighbours(before, after) if before != after else ((np.arange(after), np.ones(after)),)
        for before, after in zip(old, new, strict=True)
    )


@dataclass(frozen=True)
class Strip:
    """Columns (along the second axis) of a case that are gone through by themselves, from the first row to the last."""

    start: int
    """Of the columns that it is gone through for."""
    stop: int
    known: int
    """End of those that are known: where there is one, the next as well, with which its last one is interpolated."""

    @property
    def owned(self) -> slice:
        """Those that it is gone through for."""
        return slice(self.start, self.stop)

    @property
    def columns(self) -> slice:
        """Those that are known."""
        return slice(self.start, self.known)

    @property
    def alone(self) -> Strip:
        """Without the next column."""
        return Strip(self.start, self.stop, self.stop)

    @staticmethod
    def of(size: int, count: int) -> tuple[Strip, ...]:
        """`count` strips of about equal width of so many columns; the whole where there is one."""
        bounds = [round(size * index / count) for index in range(count + 1)]
        pairs = zip(bounds, bounds[1:], strict=False)
        return tuple(Strip(low, high, min(high + 1, size)) for low, high in pairs if low < high)


@dataclass(frozen=True)
class Piece:
    """A box of the new grid with all of the old one that it is interpolated from."""

    place: tuple[slice, slice, slice]
    """Where it lies on the new grid."""
    sides: Sides
    """Of its samples, in `values`."""
    values: npt.NDArray[Any]
    """(K, z, y, x) on the old grid. Only to be read, and only until the next piece is asked for."""
    order: Axes = _AS_THEY_ARE
    """In which the axes are gone through where neighbours are added up: another order rounds differently."""

    @property
    def shape(self) -> Shape:
        """Voxels on the new grid."""
        return triple(span.stop - span.start for span in self.place)


@dataclass(frozen=True)
class Passage:
    """How a grid of `old` voxels becomes that of a `Regrid`: interpolated to `target`, and from there picked."""

    old: Shape
    target: Shape
    picked: tuple[Index | None, Index | None, Index | None]
    """For each axis the sample of `target` that each of the new grid takes; None: its own."""
    order: Axes = _AS_THEY_ARE
    """As that of a piece."""

    @staticmethod
    def of(old: Shape, way: Regrid, order: int, axes: Axes = _AS_THEY_ARE) -> Passage:
        """That of classes or probabilities, of `order` 1 (linear) or 0 (the nearest); another raises `PlanError`."""
        if order not in (0, 1):
            raise PlanError("plan", f"interpolation order {order} for labels or probabilities", "0 or 1")
        new, apart = triple(way.shape), way.apart
        if new == old:
            return Passage(old, old, (None, None, None), axes)
        target = triple(old[axis] if axis == apart or order == 0 else new[axis] for axis in range(3))

        def picked(axis: int) -> Index | None:
            if target[axis] == new[axis]:
                return None
            if axis == apart:
                return nearest_slices(old[axis], new[axis])
            nearest: Index = operator(old[axis], new[axis], 0).argmax(1)
            return nearest

        return Passage(old, target, triple(picked(axis) for axis in range(3)), axes)

    def pick(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`array` (..., target), on the new grid; itself where nothing is picked."""
        lead = array.ndim - 3
        for axis, index in enumerate(self.picked):
            if index is not None:
                array = array.take(index, lead + axis)
        return array


class Stream:
    """Rows of a strip as they come, made into the pieces of the new grid that they are enough for.

    row    0  1  2 | 3  4  5 | ...       rows 0 to 2 came first, then 3 to 5
    new     a  b  c  d  e  f             d lies between rows 2 and 3: row 2 is kept until 3 comes
    """

    def __init__(self, passage: Passage, strip: Strip | None = None) -> None:
        """Of a `strip`; None: of all columns."""
        rows, columns, lines = _sides(passage.old, passage.target)
        strip = strip or Strip.of(passage.old[1], 1)[0]
        lower = columns[0][0]
        first, end = np.searchsorted(lower, (strip.owned.start, strip.owned.stop))
        self._columns = slice(int(first), int(end))
        self._inner = (
            tuple((index[first:end] - strip.columns.start, weight[first:end]) for index, weight in columns),
            lines,
        )
        self._rows, self._lines = rows, slice(0, passage.target[2])
        self._order = passage.order
        self._done = 0
        self._kept: npt.NDArray[Any] | None = None

    def pieces(self, first: int, values: npt.NDArray[Any]) -> Iterator[Piece]:
        """What can be made once `values` (K, n, y, x) come, which are the rows from `first` on: none twice."""
        lower, upper = self._rows[0][0], self._rows[-1][0]
        across = int(np.searchsorted(lower, first))
        ready = int(np.searchsorted(upper, first + values.shape[1]))
        if across > self._done:  # between the last row that was there before and the first of these
            assert self._kept is not None
            yield self._piece(across, first - 1, np.concatenate((self._kept, values[:, :1]), axis=1))
        step = max(1, PIECE_VOXELS // max(1, (self._columns.stop - self._columns.start) * self._lines.stop))
        while self._done < ready:
            end = min(ready, self._done + step)
            low, high = int(lower[self._done]), int(upper[end - 1]) + 1
            yield self._piece(end, low, values[:, low - first : high - first])
        self._kept = values[:, -1:].copy() if len(self._rows) == 2 else None

    def _piece(self, end: int, first: int, values: npt.NDArray[Any]) -> Piece:
        """The samples up to `end` that have not been made yet, from rows that begin with `first`."""
        span = slice(self._done, end)
        self._done = end
        rows = tuple((index[span] - first, weight[span]) for index, weight in self._rows)
        return Piece((span, self._columns, self._lines), (rows, *self._inner), values, self._order)


def _interfaces(
    labels: npt.NDArray[np.uint8],
    result: npt.NDArray[np.uint8],
    sides: Sides,
    steps: Shape,
    order: Axes = _AS_THEY_ARE,
) -> Iterator[tuple[Index, list[Corner]]]:
    """Fill the certain voxels of `result` from `labels`; yield the others in blocks, for the caller to fill.

    `sides` are the neighbours of each voxel of `result`. A block is the voxels' flat index into `result` and their two,
    four or eight neighbours, in scipy's order along axes in this `order`. `steps` are how far apart neighbours are in
    memory on each axis of what the caller interpolates, in elements.
    """
    moving = [axis for axis in order if len(sides[axis]) == 2]
    low = high = labels
    for axis in moving:
        after = np.minimum(np.arange(labels.shape[axis]) + 1, labels.shape[axis] - 1)
        low, high = np.minimum(low, low.take(after, axis)), np.maximum(high, high.take(after, axis))
    mixed = low != high
    plane = result.shape[1] * result.shape[2]
    step = max(1, _SLAB_VOXELS // max(1, plane))
    for start in range(0, len(result), step):
        rows = slice(start, start + step)
        lower = [sides[0][0][0][rows], sides[1][0][0], sides[2][0][0]]
        result[rows] = _pick(labels, lower)
        uncertain = np.flatnonzero(_pick(mixed, lower)) + start * plane
        for first in range(0, len(uncertain), BLOCK_VOXELS):
            block = uncertain[first : first + BLOCK_VOXELS]
            at = np.unravel_index(block, result.shape)
            corners: list[Corner] = []
            for choice in product(*(sides[axis] for axis in order)):
                corner = dict(zip(order, choice, strict=True))
                z, y, x = (corner[axis][0][at[axis]] for axis in range(3))
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
    passage = Passage.of(triple(label.shape), way, way.plan.order_label)
    halved = label if passage.target == passage.old else _half_rule(label, passage.target)
    return passage.pick(halved)


def argmax_on_grid(logits: npt.NDArray[Any], way: Regrid) -> npt.NDArray[np.uint8]:
    """The winning class of `logits` (K, z, y, x), interpolated linearly in float64, on the new grid (Z, Y, X).

    Where all neighbours share their winner, so does the voxel (interpolation is convex); the others are computed slab
    by slab. Memory beyond the logits stays at a few bytes per voxel, however many classes there are. The lower class
    wins a tie. `order_probability` is 1 or 0; another raises `PlanError`.
    """
    return _whole(logits, way, winners)


def positive_on_grid(logit: npt.NDArray[Any], way: Regrid) -> npt.NDArray[np.bool_]:
    """Where `logit` (z, y, x), interpolated as `argmax_on_grid` does, is above 0 on the new grid (Z, Y, X)."""
    return _whole(logit[None], way, lambda piece: positive(piece, 0)) > 0


def _whole(
    logits: npt.NDArray[Any], way: Regrid, classes: Callable[[Piece], npt.NDArray[np.uint8]]
) -> npt.NDArray[np.uint8]:
    """`classes` of `logits` (K, z, y, x), all of which are there, on the new grid (Z, Y, X)."""
    passage = Passage.of(triple(logits.shape[1:]), way, way.plan.order_probability)
    found = np.empty(passage.target, np.uint8)
    for piece in Stream(passage).pieces(0, logits):
        found[piece.place] = classes(piece)
    return passage.pick(found)


def winners(piece: Piece) -> npt.NDArray[np.uint8]:
    """The class with the largest interpolated logit in each voxel of `piece`; the lower one of two that are equal."""
    own = np.empty(piece.values.shape[1:], np.uint8)
    for row in range(len(own)):
        own[row] = piece.values[:, row].argmax(axis=0)
    return _interpolated_winner(piece.values, own, piece)


def positive(piece: Piece, channel: int) -> npt.NDArray[np.uint8]:
    """1 where the interpolated logit of a `channel` is above 0 in `piece`, else 0."""
    logit = piece.values[channel]
    return _interpolated_winner(logit[None], (logit > 0).view(np.uint8), piece, above=0.0)


def _half_rule(label: npt.NDArray[np.uint8], new_shape: Shape) -> npt.NDArray[np.uint8]:
    """The highest class whose interpolated indicator is at least 0.5, else 0."""
    result = np.empty(new_shape, np.uint8)
    flat_result, (source, steps) = result.reshape(-1), _in_memory(label)
    for block, corners in _interfaces(label, result, _sides(triple(label.shape), new_shape), steps):
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
    logits: npt.NDArray[Any], winners: npt.NDArray[np.uint8], piece: Piece, above: float = -np.inf
) -> npt.NDArray[np.uint8]:
    """The class with the largest interpolated value; `logits` (K, z, y, x) lie over the grid of `winners`.

    Where all classes but a first one have logits, that one has the value `above` everywhere.
    """
    if all(len(sides) == 1 for sides in piece.sides):
        return _pick(winners, [sides[0][0] for sides in piece.sides])
    result = np.empty(piece.shape, np.uint8)
    flat_result, first = result.reshape(-1), 0 if above == -np.inf else 1
    lines = [_in_memory(channel) for channel in logits]
    for block, corners in _interfaces(winners, result, piece.sides, lines[0][1], piece.order):
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
