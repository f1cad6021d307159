"""One level per vertebra: first a segmentation is made of whole vertebrae, then all of them together get levels.

A network that reads slices or patches tells levels by what it sees. It may call one vertebra L2 in some slices and L3
in others, or two neighbours both L4, or join two that touch. Together the pieces know better:

    1. pieces      what is any level, connected; those that hold several vertebrae are cut apart (`instances`)
    2. vertebrae   in their order; pieces nearer than half a step are one, crumbs go with the nearest
    3. levels      the likeliest sequence, and how sure it is (`level_sequence`)
    4. renaming    each voxel of a vertebra has its level, or background beyond the ends of the chain

Only the classes that the plan names as a chain are treated so (`LevelsPlan`). Our own method, and all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.inference.instances import SMALLEST_PIECE, Usual, cut_apart, places_along
from autospine.inference.level_sequence import ColumnSeen, LevelPosterior, find_levels
from autospine.planning.document.data import LevelsPlan

NEAREST_LEVELS = 0.5
"""Distance of two pieces over the step from level to level. Nearer pieces are parts of one vertebra and share its
level. Lower, an arch that is apart from its body is taken for the next; higher, neighbours are joined."""
LONGEST_STEP = 1.5
"""Step from level to level as a case shows it over that of the plan. A longer one is a gap: the plan's is taken.
Lower, cases of tall people are measured by the plan's step; higher, a case of which every second vertebra was missed is
taken for whole."""
MARGIN_VOXELS = 2
"""Voxels around a piece that change with it, so that interpolation between them finds no other level there. Fewer, and
the old level shines through at the edges; more, and neighbours that are close lose theirs."""
EVIDENCE_WEIGHT = 0.25
"""Of what the network says of a whole vertebra; one of which the view shows a part has less. Lower, nothing is certain
in whole views; higher, a network is believed too often about two vertebrae alone (docs/benchmarks/levels.md)."""
LEAST_LOG_PROBABILITY = -7.0
"""Of a class in a voxel (0.001): no network is surer than that of what it never saw. Lower, a few voxels that are too
sure decide for a whole column; higher, the network's doubts and its certainty say the same."""
MANY = 0.2
"""Share of the voxels above which copying them takes more time and memory than it saves."""

Logits = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
"""Of pieces; the first is 1."""
Floats = npt.NDArray[np.float64]
Slabs = Callable[[], Iterable[tuple[int, Logits]]]
"""All rows of a case, from the first on, each time they are asked for: (first row, logits (K, rows, a1, a2))."""


@dataclass(frozen=True)
class Vertebra:
    """A vertebra of a column, as it was found."""

    pieces: tuple[int, ...]
    """Numbers of the pieces it is made of, the largest first."""
    voxels: int
    centre: tuple[float, float, float]
    """Voxels, along the axes of the case."""
    extent: int
    """Voxels along the column."""
    cut_off: bool
    """Whether it reaches to where the image ends along the column."""


@dataclass(frozen=True)
class FoundColumn:
    """The vertebrae of a case in their order along the chain, with what they may be."""

    vertebrae: tuple[Vertebra, ...]
    levels: LevelPosterior
    seen: ColumnSeen


@dataclass(frozen=True)
class Renaming:
    """What each piece of a case becomes."""

    becomes: npt.NDArray[np.int16]
    """1 + position on the chain, 1 + its length for background; 0 for the number of none."""
    vertebrae: npt.NDArray[np.uint16]
    """The vertebra of the column, from 1, that each piece is of or goes with; 0 for the number of none."""
    numbers: npt.NDArray[np.int32]
    """(a0, a1, a2): the piece that a voxel is of; 0 is none."""
    chain: tuple[int, ...]
    column: FoundColumn

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


@dataclass(frozen=True)
class Chain:
    """The levels of a column as they lie in a volume."""

    levels: LevelsPlan
    axis: int
    """Of the volume, along which they follow each other."""
    spacing_mm: tuple[float, float, float]
    """Voxel size along the axes of the volume."""

    @staticmethod
    def of(
        levels: LevelsPlan | None, axis_order: Sequence[int], spacing_mm: tuple[float, float, float]
    ) -> Chain | None:
        """The levels in a volume whose axes are the canonical ones `axis_order`; None where a plan has none."""
        return None if levels is None else Chain(levels, axis_order.index(levels.axis), spacing_mm)


def agree_on_levels(logits: Logits, chain: Chain) -> Logits:
    """`logits` (K, a0, a1, a2), background first, in which each vertebra is one level or none; changed in place."""
    renaming = find_renaming(lambda: [(0, logits)], chain)
    if renaming is not None:
        renaming.apply(0, logits)
    return logits


def find_renaming(slabs: Slabs, column: Chain) -> Renaming | None:
    """What `agree_on_levels` does to a case that is gone through slab by slab, twice; None without a vertebra."""
    chain, axis, spacing_mm = column.levels.classes, column.axis, column.spacing_mm
    inside, named = _inside(slabs, chain)
    numbers: npt.NDArray[np.int32] = ndimage.label(inside)[0]
    if not numbers.any():
        return None
    usual = _usual(numbers[inside], named, _along(inside, axis), len(chain), spacing_mm[axis], column.levels.step)
    names = np.zeros(inside.shape, np.uint8)
    names[inside] = named
    cut_apart(numbers, names, axis, spacing_mm, usual)
    of_voxel = numbers[inside]
    sizes = np.bincount(of_voxel)
    vertebrae = _vertebrae(numbers, sizes, axis, spacing_mm, usual)
    evidence = _evidence(slabs, inside, of_voxel, vertebrae, chain)
    seen = _seen(vertebrae, evidence, column, usual, inside.shape[axis])
    found = find_levels(seen)
    inside_chain = (found.best >= 0) & (found.best < len(chain))
    becomes = np.array([0, *np.where(inside_chain, found.best + 1, len(chain) + 1)], np.int16)
    of_piece = _vertebra_of_each(numbers, len(sizes), axis, vertebrae)
    return Renaming(becomes[of_piece], of_piece, numbers, tuple(chain), FoundColumn(vertebrae, found, seen))


def _inside(slabs: Slabs, chain: Sequence[int]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Which voxels are of any level (a0, a1, a2), and for each of these the likeliest place on the chain."""
    inside, named = list[npt.NDArray[np.bool_]](), list[npt.NDArray[np.uint8]]()
    for _, logits in slabs():
        others = _others(logits, chain)
        # the sum of some is at most the largest times their number: sums are needed where that could be enough
        close = _largest(logits, chain) + log(len(chain)) + 1e-3 > _largest(logits, others)
        if close.mean() > MANY:
            held = _any_of(logits, chain) > _any_of(logits, others)
        else:
            there = np.stack([channel[close] for channel in logits])
            held = np.zeros(close.shape, np.bool_)
            held[close] = _any_of(there, chain) > _any_of(there, others)
        inside.append(held)
        named.append(np.stack([logits[level][held] for level in chain]).argmax(axis=0).astype(np.uint8))
    return np.concatenate(inside), np.concatenate(named)


def _along(inside: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.int32]:
    """The place along an axis of each voxel inside."""
    return places_along(inside.shape, axis)[inside]


def _others(logits: Logits, chain: Sequence[int]) -> list[int]:
    """The classes that are not on the chain."""
    return [index for index in range(len(logits)) if index not in chain]


def _largest(logits: Logits, classes: Sequence[int]) -> Logits:
    """The largest logit of `classes`."""
    largest: Logits = logits[classes[0]].copy()
    for index in classes[1:]:
        np.maximum(largest, logits[index], out=largest)
    return largest


def _any_of(logits: Logits, classes: Sequence[int]) -> Logits:
    """Logit of any of `classes`; one at a time, since there may be dozens."""
    sum_of: Logits = logits[classes[0]].copy()
    for index in classes[1:]:
        np.logaddexp(sum_of, logits[index], out=sum_of)
    return sum_of


def _large(sizes: npt.NDArray[np.int64]) -> Numbers:
    """Places of what is no crumb: at least `SMALLEST_PIECE` of the size of that which a voxel usually is of."""
    if not sizes.any():
        return np.zeros(0, np.int64)
    ordered = np.sort(sizes)[::-1]
    usual = ordered[np.searchsorted(np.cumsum(ordered), sizes.sum() / 2)]
    return np.flatnonzero(sizes >= max(1, SMALLEST_PIECE * usual))


def _usual(
    of_voxel: npt.NDArray[np.int32],
    named: npt.NDArray[np.uint8],
    along: npt.NDArray[np.int32],
    length: int,
    spacing_mm: float,
    step: float,
) -> Usual:
    """How long a vertebra is in this case, and how far from the next, from what a level is long in a piece.

    In the median that is right also where pieces hold several vertebrae, and where one has two names side by side.
    """
    cell = of_voxel.astype(np.int64) * length + named
    extents = []
    for held in _large(np.bincount(cell)):
        low, high = np.quantile(along[cell == held], (0.01, 0.99))
        extents.append(high - low + 1)
    extent_mm = float(np.median(extents)) * spacing_mm
    return Usual(extent_mm, extent_mm * step)


def _vertebrae(
    numbers: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64], axis: int, spacing_mm: Sequence[float], usual: Usual
) -> tuple[Vertebra, ...]:
    """The vertebrae in their order along the chain."""
    large = _large(sizes)
    boxes = ndimage.find_objects(numbers)
    centres = _centres(numbers, large)
    order = np.argsort(centres[:, axis], kind="stable")
    large, centres = large[order], centres[order]
    near = NEAREST_LEVELS * usual.step_mm
    groups, found = [[0]], list[Vertebra]()
    for place, gap in enumerate(np.diff(centres[:, axis]) * spacing_mm[axis], 1):
        if gap < near:
            groups[-1].append(place)
        else:
            groups.append([place])
    for group in groups:
        held = sorted(group, key=lambda place: -int(sizes[large[place]]))
        voxels = [int(sizes[large[place]]) for place in held]
        spans = [boxes[large[place] - 1][axis] for place in held]
        low, high = min(span.start for span in spans), max(span.stop for span in spans)
        ends = low == 0 or high == numbers.shape[axis]
        centre = np.average(centres[held], axis=0, weights=voxels)
        pieces = tuple(int(large[place]) for place in held)
        middle = (float(centre[0]), float(centre[1]), float(centre[2]))
        found.append(Vertebra(pieces, sum(voxels), middle, high - low, ends))
    return tuple(found)


def _centres(numbers: npt.NDArray[np.int32], pieces: Numbers) -> Floats:
    """(pieces, 3): their centres, in voxels; counted slice by slice, which takes no memory to speak of."""
    count = int(numbers.max()) + 1
    sums, voxels = np.zeros((count, 3)), np.zeros(count)
    for axis, length in enumerate(numbers.shape):
        for place in range(length):
            found = np.bincount(numbers.take(place, axis).ravel(), minlength=count)
            sums[:, axis] += place * found
            voxels += found if axis == 0 else 0
    centres: Floats = sums[pieces] / voxels[pieces, None]
    return centres


def _gaps_mm(vertebrae: Sequence[Vertebra], spacing_mm: Sequence[float]) -> Floats:
    """Distances of the centres of neighbours, in space: a column is bent."""
    places = np.array([one.centre for one in vertebrae]) * np.asarray(spacing_mm)
    gaps: Floats = np.linalg.norm(np.diff(places, axis=0), axis=1)
    return gaps


def _own_step(gaps_mm: Floats, usual: Usual) -> float:
    """From one vertebra to the next in this case, mm: the lower median, as a gap that skips a level is no usual one."""
    if not len(gaps_mm):
        return usual.step_mm
    own = float(np.sort(gaps_mm)[(len(gaps_mm) - 1) // 2])
    return usual.step_mm if own > LONGEST_STEP * usual.step_mm else own


def _seen(
    vertebrae: Sequence[Vertebra],
    evidence: Floats,
    column: Chain,
    usual: Usual,
    length: int,
) -> ColumnSeen:
    """What there is to go by; `length` is that of the image along the column, in voxels."""
    axis, spacing_mm = column.axis, column.spacing_mm
    gaps_mm = _gaps_mm(vertebrae, spacing_mm)
    step_mm = _own_step(gaps_mm, usual)
    below = vertebrae[0].centre[axis] + 0.5
    above = length - 0.5 - vertebrae[-1].centre[axis]
    first, last = (room * spacing_mm[axis] / step_mm - 0.5 for room in (below, above))
    whole = np.array([not one.cut_off for one in vertebrae])
    extents_mm = np.array([one.extent * spacing_mm[axis] for one in vertebrae])
    return ColumnSeen(
        evidence,
        gaps_mm / step_mm,
        (first, last),
        column.levels.ends_seen,
        column.levels.sizes,
        np.where(whole, extents_mm, np.nan),
        np.where(whole[:-1] & whole[1:], gaps_mm, np.nan),
    )


def _evidence(
    slabs: Slabs,
    inside: npt.NDArray[np.bool_],
    of_voxel: npt.NDArray[np.int32],
    vertebrae: Sequence[Vertebra],
    chain: Sequence[int],
) -> Floats:
    """(vertebrae, levels + 1): log probability of each level, then of none: the mean over a vertebra's voxels, weighed.

    The mean, not the sum: the voxels of a vertebra err together, and so, to a part, do the vertebrae of a case.
    """
    every, done = np.zeros((len(chain) + 1, int(of_voxel.max()) + 1)), 0
    for first, logits in slabs():
        there = logits[:, inside[first : first + logits.shape[1]]]
        pieces = of_voxel[done : done + there.shape[1]]
        done += there.shape[1]
        others, chained = _any_of(there, _others(logits, chain)), _any_of(there, chain)
        total = np.logaddexp(others, chained)
        for place, values in enumerate((*(there[level] for level in chain), others)):
            said = np.maximum(values - total, LEAST_LOG_PROBABILITY).astype(np.float64)
            np.add.at(every[place], pieces, said)  # one after the other: slabs must not round the sums otherwise
    summed = np.array([every[:, list(one.pieces)].sum(axis=1) for one in vertebrae])
    voxels = np.array([one.voxels for one in vertebrae], np.float64)
    weights = EVIDENCE_WEIGHT * np.minimum(1, voxels / np.median(voxels))
    return np.asarray(summed * (weights / voxels)[:, None], np.float64)


def _vertebra_of_each(
    numbers: npt.NDArray[np.int32], count: int, axis: int, vertebrae: Sequence[Vertebra]
) -> npt.NDArray[np.uint16]:
    """The vertebra, from 1, of each of so many pieces, 0 for the number of none; a crumb goes with the nearest."""
    found = np.zeros(count, np.uint16)
    for number, one in enumerate(vertebrae, 1):
        found[list(one.pieces)] = number
    crumbs = np.flatnonzero(found[1:] == 0) + 1
    if len(crumbs):
        centres = _centres(numbers, crumbs)[:, axis]
        places = np.array([one.centre[axis] for one in vertebrae])
        found[crumbs] = 1 + np.abs(centres[:, None] - places).argmin(axis=1)
    return found


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
