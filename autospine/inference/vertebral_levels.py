"""One level per vertebra: each piece of a segmentation becomes one class of a chain, and they follow in its order.

A network that reads slices or patches tells levels by what it sees, and may call one vertebra L2 in some slices and L3
in others, or two neighbours both L4. Together the pieces know better:

    piece     mean probability of L5  L4  L3  L2     the chain laid along the pieces, where it is likeliest
      4                               .2  .8                L3
      3                           .1  .9                    L4        two vertebrae cannot both be L4
      2                       .5  .5                        L5

A network may also call a whole column one level too high, where it stands unusually in the view. How many pieces there
are speaks against that: where every case so far showed the first and the last of seven levels, seven pieces are all of
them (`LevelsPlan.ends_seen`). Only a network that is quite sure of another start is believed.

Only the classes that the plan names as a chain are treated so (`LevelsPlan`): each is one piece, all about alike in
size, and from one to the next it is about the same distance. Pieces in which the network sees several levels above each
other are vertebrae that touch: they stay as they are. Our own method, and all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.planning.document.data import LevelsPlan

SMALLEST_PIECE = 0.2
"""Voxels of a piece over those of a usual one. A smaller piece is a crumb: it is no vertebra and takes the level of the
nearest one. Lower, stray voxels count as vertebrae and shift their neighbours; higher, vertebrae that the edge of the
image cuts are lost."""
LEAST_OF_PIECE = 0.2
"""Voxels of a class over those of the piece it is in. With fewer a class is a slip of the network there; with more it
may be a vertebra of its own. Lower, slips make a vertebra two; higher, two of unlike size that touch count as one."""
FARTHEST_IN_VERTEBRA = 0.35
"""Distance of the centres of two classes in a piece over its extent, both along the chain. Farther apart they are two
vertebrae that touch (halves: 0.5); nearer they are one with two names (side by side: 0)."""
LONGEST_VERTEBRA = 1.5
"""Extent of a piece along the chain over the usual one. A longer piece is several that touch, and stays as the network
sees it. Lower, tall vertebrae are left out; higher, two that touch get one level."""
NEAREST_LEVELS = 0.5
"""Distance of two pieces along the chain over the step from level to level. Nearer pieces are parts of one vertebra and
share its level. Lower, an arch that is apart from its body is taken for the next; higher, neighbours are joined."""
LONGEST_STEP = 1.5
"""Step from level to level as a case shows it over that of the plan. A longer one is a gap: the plan's is taken.
Lower, cases of tall people are measured by the plan's step; higher, a case of which every second vertebra was missed is
taken for whole."""
MISSED_LEVEL = 1.6
"""Distance of two pieces along the chain over the case's own step. From there on a level between them was missed, from
2.6 on two. Lower, a wide disc counts as a vertebra; higher, one that was missed is not counted."""
MARGIN_VOXELS = 2
"""Voxels around a piece that change with it, so that interpolation between them finds no other level there. Fewer, and
the old level shines through at the edges; more, and neighbours that are close lose theirs."""
LEAST_LOG_PROBABILITY = -7.0
"""Of a class in a voxel (0.001): no network is surer than that of what it never saw. Lower, a few voxels that are too
sure decide for a whole column; higher, the network's doubts and its certainty say the same."""

Logits = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
"""Of pieces; the first is 1."""
Slabs = Callable[[], Iterable[tuple[int, Logits]]]
"""All rows of a case, from the first on, each time they are asked for: (first row, logits (K, rows, a1, a2))."""


@dataclass(frozen=True)
class _Pieces:
    """The connected pieces of the chain's classes. What there is one of per piece stands at its number; 0 is none."""

    numbers: npt.NDArray[np.int32]
    """(a0, a1, a2): the piece that a voxel is of."""
    inside: npt.NDArray[np.bool_]
    """(a0, a1, a2): whether a voxel is of any; it has an entry in the two that follow."""
    of_voxel: npt.NDArray[np.int32]
    """The piece."""
    along: npt.NDArray[np.int32]
    """The place along the chain, voxels."""
    sizes: npt.NDArray[np.int64]
    """Voxels."""
    centres: npt.NDArray[np.float64]
    """Along the chain, voxels."""
    extents: npt.NDArray[np.int64]
    """Along the chain, voxels."""

    @staticmethod
    def of(inside: npt.NDArray[np.bool_], axis: int) -> _Pieces:
        """The pieces of what is `inside` (a0, a1, a2), for a chain along `axis`."""
        numbers, _ = ndimage.label(inside)
        lying = [1, 1, 1]
        lying[axis] = inside.shape[axis]
        places = np.broadcast_to(np.arange(inside.shape[axis], dtype=np.int32).reshape(lying), inside.shape)
        of_voxel, along = numbers[inside], places[inside]
        sizes = np.bincount(of_voxel, minlength=1)
        centres = np.bincount(of_voxel, along, minlength=1) / np.maximum(sizes, 1)
        spans = [box[axis] for box in ndimage.find_objects(numbers)]
        extents = np.array([0, *(span.stop - span.start for span in spans)])
        return _Pieces(numbers, inside, of_voxel, along, sizes, centres, extents)


@dataclass(frozen=True)
class Renaming:
    """What each piece of a case becomes."""

    becomes: npt.NDArray[np.int16]
    """1 + position on the chain, 1 + its length for background, 0 where the network decides."""
    numbers: npt.NDArray[np.int32]
    """(a0, a1, a2): the piece that a voxel is of; 0 is none."""
    chain: tuple[int, ...]

    def apply(self, first: int, logits: Logits) -> None:
        """Rename in `logits` (K, rows, a1, a2), which are the rows from `first` on; in place."""
        end = first + logits.shape[1]
        # as many rows more as the margin is wide, so that it is that of the whole
        low, high = max(0, first - MARGIN_VOXELS), min(len(self.numbers), end + MARGIN_VOXELS)
        region = _with_margin(self.becomes, self.numbers[low:high])[first - low : end - low]
        at = np.nonzero(region)
        if not len(at[0]):
            return
        there = np.stack([channel[at] for channel in logits])
        _rename(there, region[at], self.chain)
        for level in self.chain:
            logits[level][at] = there[level]


def agree_on_levels(logits: Logits, levels: LevelsPlan, axis: int) -> Logits:
    """`logits` (K, a0, a1, a2), background first, in which each piece is one level or background; changed in place.

    Neighbouring pieces along `axis` (of the volume) differ by as many levels as their distance is, in units of the
    usual one; the level that they begin with is the likeliest by all their voxels together and by what views of this
    data set show. A piece beyond either end is background. Where there are no two single pieces to compare, all stays.
    """
    renaming = find_renaming(lambda: [(0, logits)], levels, axis)
    if renaming is not None:
        renaming.apply(0, logits)
    return logits


def find_renaming(slabs: Slabs, levels: LevelsPlan, axis: int) -> Renaming | None:
    """What `agree_on_levels` does to a case that is gone through slab by slab, twice; None where all stays."""
    chain = levels.classes
    pieces, named = _pieces(slabs, chain, axis)
    large = _without_crumbs(pieces)
    vertebrae, usual_extent = _vertebrae(named, pieces, large, len(chain))
    if len(vertebrae) < 2:
        return None
    ranks = _ranks(pieces.centres[vertebrae], levels.step * usual_extent)
    evidence = _evidence(slabs, pieces, vertebrae, chain)
    becomes = np.zeros(len(pieces.sizes), np.int16)
    becomes[vertebrae] = _likeliest(evidence, ranks, levels.ends_seen)
    _join_crumbs(becomes, pieces, large)
    return Renaming(becomes, pieces.numbers, tuple(chain))


def _pieces(slabs: Slabs, chain: Sequence[int], axis: int) -> tuple[_Pieces, npt.NDArray[np.uint8]]:
    """The pieces, and for each voxel of any the likeliest place on the chain."""
    inside, named = list[npt.NDArray[np.bool_]](), list[npt.NDArray[np.uint8]]()
    for _, logits in slabs():
        held = _any_of(logits, chain) > _any_of(logits, _others(logits, chain))
        inside.append(held)
        named.append(np.stack([logits[level][held] for level in chain]).argmax(axis=0).astype(np.uint8))
    return _Pieces.of(np.concatenate(inside), axis), np.concatenate(named)


def _others(logits: Logits, chain: Sequence[int]) -> list[int]:
    """The classes that are not on the chain."""
    return [index for index in range(len(logits)) if index not in chain]


def _any_of(logits: Logits, classes: Sequence[int]) -> Logits:
    """Logit of any of `classes`; one at a time, since there may be dozens."""
    sum_of: Logits = logits[classes[0]].copy()
    for index in classes[1:]:
        np.logaddexp(sum_of, logits[index], out=sum_of)
    return sum_of


def _without_crumbs(pieces: _Pieces) -> Numbers:
    """The pieces of at least `SMALLEST_PIECE`; the usual size is that of the piece a foreground voxel usually is of."""
    sizes = pieces.sizes[1:]
    if not len(sizes):
        return np.zeros(0, np.int64)
    ordered = np.sort(sizes)[::-1]
    usual = ordered[np.searchsorted(np.cumsum(ordered), sizes.sum() / 2)]
    return np.flatnonzero(sizes >= SMALLEST_PIECE * usual) + 1


def _vertebrae(named: npt.NDArray[np.uint8], pieces: _Pieces, large: Numbers, length: int) -> tuple[Numbers, float]:
    """Those of the `large` pieces that are one vertebra each, in their order along the chain; and the usual extent."""
    extents = pieces.extents[large]
    single = ~_hold_several(named, pieces, large, length)
    if not single.any():
        return large[:0], 0.0
    usual = float(np.median(extents[single]))
    whole = large[extents <= LONGEST_VERTEBRA * usual]
    return whole[np.argsort(pieces.centres[whole], kind="stable")], usual


def _hold_several(named: npt.NDArray[np.uint8], pieces: _Pieces, large: Numbers, length: int) -> npt.NDArray[np.bool_]:
    """Whether the network sees levels above each other in a `large` piece, each with a good part of its voxels."""
    cell, cells = pieces.of_voxel.astype(np.int64) * length + named, len(pieces.sizes) * length
    voxels = np.bincount(cell, minlength=cells).reshape(-1, length)[large]
    centres = np.bincount(cell, pieces.along, minlength=cells).reshape(-1, length)[large] / np.maximum(voxels, 1)
    counts = voxels >= LEAST_OF_PIECE * voxels.sum(axis=1, keepdims=True)
    spread = np.where(counts, centres, -np.inf).max(axis=1) - np.where(counts, centres, np.inf).min(axis=1)
    several: npt.NDArray[np.bool_] = spread > FARTHEST_IN_VERTEBRA * pieces.extents[large]
    return several


def _ranks(places: npt.NDArray[np.float64], step: float) -> Numbers:
    """Rank of each piece along the chain, the first 0, from their ascending `places`: a gap of two skips one."""
    gaps = np.diff(places)
    apart = gaps > NEAREST_LEVELS * step
    # the lower median: a gap that skips a level is no usual one
    own = float(np.sort(gaps[apart])[(apart.sum() - 1) // 2]) if apart.any() else step
    own = step if own > LONGEST_STEP * step else own
    steps = np.where(apart, np.maximum(np.floor(gaps / own + 2 - MISSED_LEVEL), 1), 0)
    return np.concatenate(([0], np.cumsum(steps))).astype(np.int64)


def _evidence(slabs: Slabs, pieces: _Pieces, vertebrae: Numbers, chain: Sequence[int]) -> npt.NDArray[np.float64]:
    """(vertebrae, levels + 1): log probability of each level, then of none, summed; mean of the column's voxels.

    The mean, not the sum: the voxels of a case err together, so that they say no more than one of them would.
    """
    every, done = np.zeros((len(chain) + 1, len(pieces.sizes))), 0
    for first, logits in slabs():
        there = logits[:, pieces.inside[first : first + logits.shape[1]]]
        of_voxel = pieces.of_voxel[done : done + there.shape[1]]
        done += there.shape[1]
        others, chained = _any_of(there, _others(logits, chain)), _any_of(there, chain)
        total = np.logaddexp(others, chained)
        for place, values in enumerate((*(there[level] for level in chain), others)):
            said = np.maximum(values - total, LEAST_LOG_PROBABILITY).astype(np.float64)
            np.add.at(every[place], of_voxel, said)  # one after the other: slabs must not round the sums otherwise
    mean: npt.NDArray[np.float64] = every.T[vertebrae] / pieces.sizes[vertebrae].sum()
    return mean


def _likeliest(evidence: npt.NDArray[np.float64], ranks: Numbers, ends_seen: tuple[float, float]) -> Numbers:
    """1 + position on the chain of each piece, 1 + its length for none, where evidence and view together say most."""
    length = evidence.shape[1] - 1
    best, chosen = -np.inf, np.zeros(len(ranks), np.int64)
    for first in range(-int(ranks[-1]), length):
        positions = first + ranks
        ends = (first <= 0, positions[-1] >= length - 1)
        said = sum(log(share if there else 1 - share) for there, share in zip(ends, ends_seen, strict=True))
        positions = np.where((positions >= 0) & (positions < length), positions, length)
        found = said + float(evidence[np.arange(len(ranks)), positions].sum())
        if found > best:
            best, chosen = found, positions + 1
    return chosen


def _join_crumbs(becomes: npt.NDArray[np.int16], pieces: _Pieces, large: Numbers) -> None:
    """Let each crumb become, in `becomes`, what the nearest of the `large` pieces does."""
    crumbs = np.setdiff1d(np.arange(1, len(pieces.sizes)), large)
    if len(crumbs):
        distances = np.abs(pieces.centres[crumbs][:, None] - pieces.centres[large])
        becomes[crumbs] = becomes[large[distances.argmin(axis=1)]]


def _with_margin(becomes: npt.NDArray[np.int16], numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """What each voxel becomes (a0, a1, a2): that of its piece, and around it that of the nearest."""
    region: npt.NDArray[np.int16] = becomes[numbers]
    for _ in range(MARGIN_VOXELS):
        region = np.where((numbers > 0) | (region > 0), region, ndimage.maximum_filter(region, size=3))
    return region


def _rename(logits: Logits, region: npt.NDArray[np.int16], chain: Sequence[int]) -> None:
    """In place, in `logits` (K, n) of voxels that become something: that level has all, and the others lose."""
    others, chained = _any_of(logits, _others(logits, chain)), _any_of(logits, chain)
    # out of the question, but no lower than that: logits are interpolated, and a cliff would eat into its neighbours
    lost = np.minimum(others, chained) - 1
    for position, level in enumerate(chain, 1):
        logits[level] = np.where(region == position, chained, lost)
