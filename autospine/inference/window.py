"""A sliding window: where its tiles lie, how much each voxel of a tile counts, and what all of them say together.

size 10, patch 4, overlap 0.5:   0123456789
                                 ====            tiles start at 0, 2, 4, 6:
                                   ====          the last ends with the image and the
                                     ====        steps between are equal, at most
                                       ====      patch * (1 - overlap)

Tiles come row by row. What they say is added up for the rows alone that tiles still to come may reach; rows that none
will reach leave at once, so that scores of a whole case are nowhere. Where even a patch's height of rows is too much,
the window goes over the case in strips, and a tile that reaches into two strips is computed for each. Whatever the
strips, a voxel gets the same numbers in the same order:

    rows     done: gone     open: held     to come: nowhere
             0 ... 3        4 ... 7        8 ...
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from autospine.data.geometry import triple
from autospine.machine.device import is_out_of_memory

Tile = tuple[slice, slice, slice]
Shape = tuple[int, int, int]
_CPU = torch.device("cpu")
SIGMA_SHARE = 0.125
"""Standard deviation of the blending window as a share of the patch edge (nnU-Net's 1/8)."""


def tile_starts(size: int, patch: int, overlap: float) -> tuple[int, ...]:
    """First voxels of the tiles along one axis of `size` voxels (at least `patch`)."""
    room, count = size - patch, tile_count(size, patch, overlap)
    return tuple(round(room / (count - 1) * index) for index in range(count)) if count > 1 else (0,)


def tile_count(size: int, patch: int, overlap: float) -> int:
    """How many tiles there are along such an axis."""
    room = size - patch
    # a tile one voxel thick (a slice) has nothing to overlap with: less than a voxel a step would repeat it
    return math.ceil(room / max(1.0, patch * (1 - overlap))) + 1 if room > 0 else 1


def blending_window(patch: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Gaussian weight of each voxel of a patch, highest 1 in the middle, never 0.

    The outer product of one filtered delta per axis is an n-dimensional delta filtered, forty times sooner.
    """
    window = np.ones((), np.float64)
    for size in patch:
        delta = np.zeros(size)
        delta[size // 2] = 1
        edge = ndimage.gaussian_filter1d(delta, size * SIGMA_SHARE, mode="constant", cval=0)
        window = window[..., None] * edge
    weights: npt.NDArray[np.float32] = (window / window.max()).astype(np.float32)
    # far corners underflow to 0, where a voxel seen by one tile alone would be divided by 0
    weights[weights == 0] = weights[weights > 0].min()
    return weights


@dataclass(frozen=True)
class Window:
    """A window that slides over a case."""

    patch: Shape
    """Voxels; of a slice the first edge is 1."""
    overlap: float
    """Share by which neighbouring tiles overlap per axis, 0 to below 1."""
    together: int
    """Tiles that go through the networks at once."""
    outputs: int
    """Of the networks, for each voxel."""

    def tiles(self, shape: Sequence[int]) -> list[Tile]:
        """The tiles of a volume of `shape` (a0, a1, a2), none shorter than the patch, in order."""
        starts = [tile_starts(size, edge, self.overlap) for size, edge in zip(shape, self.patch, strict=True)]
        a, b, c = self.patch
        return [(slice(z, z + a), slice(y, y + b), slice(x, x + c)) for z, y, x in itertools.product(*starts)]

    def across(self, shape: Sequence[int], inner: Sequence[slice], columns: slice) -> list[Tile]:
        """Those of the `tiles` that reach into these `columns` of the case that lies at `inner`."""
        return [
            tile
            for tile in self.tiles(shape)
            if tile[1].start < inner[1].start + columns.stop and tile[1].stop > inner[1].start + columns.start
        ]

    def open_rows(self, tiles: Sequence[Tile]) -> int:
        """Rows that are held at once while these `tiles`, in order, go through, `together` or fewer at a time."""
        # wherever a group begins: once memory was too little for one, smaller ones follow that begin anywhere
        last = len(tiles) - 1
        ends = (tiles[min(first + self.together - 1, last)][0].stop for first in range(len(tiles)))
        return max(int(end - tile[0].start) for end, tile in zip(ends, tiles, strict=True))

    def slide(
        self,
        shape: Sequence[int],
        inner: Sequence[slice],
        columns: slice,
        logits_of: Callable[[list[Tile]], Tensor],
        *,
        device: torch.device = _CPU,
        tell: Callable[[int], None],
    ) -> Iterator[tuple[int, Tensor]]:
        """The weighted mean, in each voxel of these `columns` of a case, of what tiles say of it: rows, once done.

        Each is (first row, (outputs, rows, columns, lines)), on the CPU and good until the next is asked for. Padded to
        the patch the case has this `shape` and lies at `inner`. `logits_of` gives of tiles of that (tiles, outputs,
        *patch), on whatever device. They are added up on `device`, or where that has too little memory, on the CPU;
        there, fewer tiles go together from then on. `tell` is told how many tiles have gone through each time.
        """
        tiles, weights = self.across(shape, inner, columns), torch.from_numpy(blending_window(self.patch))
        case = [span.stop - span.start for span in inner]
        seen = (inner[0], slice(inner[1].start + columns.start, inner[1].start + columns.stop), inner[2])
        plane = (columns.stop - columns.start, case[2])
        sums = _Sums.on(device, self.outputs, min(self.open_rows(tiles), case[0]), plane)
        together, first = self.together, 0
        while first < len(tiles):
            group = tiles[first : first + together]
            yield from sums.leave(min(group[0][0].start - inner[0].start, case[0]))
            can_shrink = len(group) > 1 or sums.device.type != "cpu"
            weighted = _unless_full(partial(_weighted, logits_of, group, weights), can_shrink)
            if weighted is None:
                together = max(1, len(group) // 2)
                sums = sums if len(group) > 1 else sums.moved(_CPU)
                _give_back(device)
                continue
            weights = weights.to(weighted.device)  # once
            for tile, values in zip(group, weighted, strict=True):
                place, part = _within(tile, seen)
                sums.add(place, values[(slice(None), *part)], weights[part])
            first += len(group)
            tell(len(group))
        yield from sums.leave(case[0])


class _Sums:
    """What tiles say, times their weights, of the rows that are open: a ring, in which row r stands at r % its length.

    rows 4 to 7 are open, of five:     5 6 7 - 4
    """

    def __init__(self, total: Tensor, weight: Tensor, first: int = 0) -> None:
        self._total, self._weight, self._first = total, weight, first

    @staticmethod
    def on(device: torch.device, outputs: int, rows: int, plane: tuple[int, int]) -> _Sums:
        """Of no tile, on `device` where there is room, else on the CPU."""
        for place in dict.fromkeys((device, _CPU)):
            try:
                return _Sums(
                    torch.zeros((outputs, rows, *plane), device=place), torch.zeros((rows, *plane), device=place)
                )
            except (MemoryError, RuntimeError) as error:
                if place == _CPU or not is_out_of_memory(error):
                    raise
                _give_back(place)
        raise AssertionError("the CPU is always asked")

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self._total.device

    def moved(self, device: torch.device) -> _Sums:
        """The same on another device."""
        return _Sums(self._total.to(device), self._weight.to(device), self._first)

    def add(self, place: Tile, values: Tensor, weights: Tensor) -> None:
        """Add `values` (outputs, *place) with their `weights` (*place)."""
        rows, *plane = place
        values, weights = values.to(self.device), weights.to(self.device)
        for span, part in self._turns(rows.start, rows.stop):
            self._total[(slice(None), span, *plane)] += values[:, part]
            self._weight[(span, *plane)] += weights[part]

    def leave(self, end: int) -> Iterator[tuple[int, Tensor]]:
        """The means of the rows before `end`, which no tile reaches any more; each goes once the next is due."""
        if end <= self._first:
            return
        first = self._first
        for span, part in self._turns(first, end):
            self._total[:, span] /= self._weight[span]
            yield first + part.start, self._total[:, span].cpu()
            self._total[:, span] = 0
            self._weight[span] = 0
        self._first = end

    def _turns(self, start: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """Where rows stand in the ring, and which of them do: two spans where they reach beyond its end."""
        size, row = len(self._weight), start
        while row < stop:
            at = row % size
            length = min(stop - row, size - at)
            yield slice(at, at + length), slice(row - start, row - start + length)
            row += length


def _weighted(logits_of: Callable[[list[Tile]], Tensor], tiles: list[Tile], weights: Tensor) -> Tensor:
    """What tiles say, times the weight of each of their voxels."""
    logits = logits_of(tiles)
    return logits * weights.to(logits.device)


def _unless_full(compute: Callable[[], Tensor], can_shrink: bool) -> Tensor | None:
    """What `compute` gives, or None where memory is too little for it and something can be made smaller."""
    try:
        return compute()
    except (MemoryError, RuntimeError) as error:
        if not (can_shrink and is_out_of_memory(error)):
            raise
        return None


def _give_back(device: torch.device) -> None:
    """Let a GPU have again what torch holds of its memory for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _within(tile: Tile, inner: Sequence[slice]) -> tuple[Tile, Tile]:
    """Where a tile of the padded volume lies in the case, whose place in it is `inner`; and which part of it does."""
    pairs = list(zip(tile, inner, strict=True))
    common = [(max(one.start, case.start), min(one.stop, case.stop)) for one, case in pairs]

    def seen_from(starts: Iterable[int]) -> Tile:
        return triple(slice(low - start, high - start) for (low, high), start in zip(common, starts, strict=True))

    return seen_from(case.start for case in inner), seen_from(one.start for one in tile)
