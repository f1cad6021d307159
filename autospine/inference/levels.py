"""One level per vertebra: pieces of a segmentation are made the classes of a chain, in its order.

A network that reads slices or patches tells levels by what it sees, and may call one vertebra L2 in some slices and L3
in others, or two neighbours both L4. Together the pieces know better:

    piece     mean probability of L5  L4  L3  L2     the chain laid along the pieces, where it is likeliest
      4                               .2  .8                L3
      3                           .1  .9                    L4        two vertebrae cannot both be L4
      2                       .5  .5                        L5

A network may also call a whole column one level too high, where it stands unusually in the view. How many pieces there
are speaks against that: where every case so far showed the first and the last of seven levels, seven pieces are all of
them (`LevelsPlan.ends_seen`). Only a network that is quite sure of another start is believed.

Only classes that the plan names as a chain are treated so (`DataPlan.levels`): each of them one piece, all about
alike in size and apart by about the same distance, `LevelsPlan.step` of their own extent. Pieces in which the network
sees several levels above each other are vertebrae that touch: they stay as they are. Our own method.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.planning.document.data import LevelsPlan

SMALL = 0.2
"""Of the size of a piece that a foreground voxel usually belongs to: smaller pieces are crumbs, which count for nothing
and go with the nearest piece. Of a piece's voxels: what a class needs to count in `_several`."""
APART = 0.35
"""Of a piece's extent: classes whose centres in it are farther apart are one vertebra each."""
LONG = 1.5
"""Of the usual extent along the chain: longer pieces are several that touch, and stay as the network sees them."""
NEAR = 0.5
"""Of the step from level to level: pieces with centres nearer than that along the chain are parts of one."""
FAR = 1.5
"""Of that step as the plan has it: no step in a case is longer."""
SKIP = 1.6
"""Of a case's own step: from there on a gap has missed a level."""
MARGIN_VOXELS = 2
"""Voxels around a piece that change with it, so that interpolation between them finds no other level there."""
DOUBT = -7.0
"""Smallest log probability that a voxel gives a class (0.001): no network is surer than that of what it never saw."""


def agree_on_levels(logits: npt.NDArray[np.float32], levels: LevelsPlan, axis: int) -> npt.NDArray[np.float32]:
    """Make each piece of foreground in logits (K, a0, a1, a2) one of the levels or background.

    Neighbouring pieces differ by as many levels as their distance is, in units of the usual one; the level that they
    begin with is the likeliest by all their voxels together and by what views of this data set show. A piece beyond
    either end is background.

    Args:
        logits: of all classes, background first; changed in place.
        levels: what the plan knows of them.
        axis: axis of the volume along which they follow each other.

    Returns:
        `logits`, as they were where there are no two single pieces to compare.
    """
    chain = levels.classes
    rest = _either(logits, [index for index in range(len(logits)) if index not in chain])
    together = _either(logits, chain)
    pieces, count = ndimage.label(together > rest)
    if count < 2:
        return logits
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    ordered = np.sort(sizes)[::-1]
    usual_size = ordered[np.searchsorted(np.cumsum(ordered), sizes.sum() / 2)]
    large = np.flatnonzero(sizes >= SMALL * usual_size) + 1
    boxes = ndimage.find_objects(pieces)
    extents = np.array([boxes[piece - 1][axis].stop - boxes[piece - 1][axis].start for piece in large])
    single = ~_several(logits, pieces, large, extents, chain, axis)
    if not single.any():
        return logits
    usual = float(np.median(extents[single]))
    whole = large[extents <= LONG * usual]
    if len(whole) < 2:
        return logits
    places = _places(pieces, whole, axis)
    order = np.argsort(places, kind="stable")
    whole, places = whole[order], places[order]
    evidence = _evidence(logits, rest, np.logaddexp(rest, together), pieces, whole, chain)

    # piece -> 1 + position on the chain, 1 + its length for background, 0 where the network decides
    becomes = np.zeros(count + 1, np.int16)
    becomes[whole] = _likeliest(evidence, _ranks(places, levels.step * usual), levels.ends_seen)
    crumbs = np.setdiff1d(np.arange(1, count + 1), large)
    if len(crumbs):
        distances = np.abs(_places(pieces, crumbs, axis)[:, None] - _places(pieces, large, axis))
        becomes[crumbs] = becomes[large[distances.argmin(axis=1)]]
    region = becomes[pieces]
    for _ in range(MARGIN_VOXELS):
        region = np.where((pieces > 0) | (region > 0), region, ndimage.maximum_filter(region, size=3))
    # out of the question, but no lower than that: logits are interpolated, and a cliff would eat into its neighbours
    lost = np.minimum(rest, together) - 1
    for position, level in enumerate(chain, 1):
        logits[level] = np.where(region == position, together, np.where(region > 0, lost, logits[level]))
    return logits


def _either(logits: npt.NDArray[np.float32], classes: Sequence[int]) -> npt.NDArray[np.float32]:
    """Logit of any of `classes`; one at a time, since there may be dozens."""
    sum_of: npt.NDArray[np.float32] = logits[classes[0]].copy()
    for index in classes[1:]:
        np.logaddexp(sum_of, logits[index], out=sum_of)
    return sum_of


def _several(
    logits: npt.NDArray[np.float32],
    pieces: npt.NDArray[np.int32],
    which: npt.NDArray[np.int64],
    extents: npt.NDArray[np.int64],
    chain: Sequence[int],
    axis: int,
) -> npt.NDArray[np.bool_]:
    """Whether the network sees levels above each other in a piece, each with a good part of its voxels."""
    inside, length = pieces > 0, len(chain)
    named = np.stack([logits[level][inside] for level in chain]).argmax(axis=0)
    place = np.nonzero(inside)[axis]
    cell, cells = pieces[inside].astype(np.int64) * length + named, (int(pieces.max()) + 1) * length
    voxels = np.bincount(cell, minlength=cells).reshape(-1, length)[which]
    centres = np.bincount(cell, place, minlength=cells).reshape(-1, length)[which] / np.maximum(voxels, 1)
    counts = voxels >= SMALL * voxels.sum(axis=1, keepdims=True)
    spread = np.where(counts, centres, -np.inf).max(axis=1) - np.where(counts, centres, np.inf).min(axis=1)
    several: npt.NDArray[np.bool_] = spread > APART * extents
    return several


def _places(pieces: npt.NDArray[np.int32], which: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.float64]:
    """Centre of each piece along `axis`, voxels."""
    return np.array([centre[axis] for centre in ndimage.center_of_mass(pieces > 0, pieces, which)])


def _ranks(places: npt.NDArray[np.float64], step: float) -> npt.NDArray[np.int64]:
    """Rank of each piece along the chain, the first 0, from their ascending `places`: a gap of two skips one."""
    gaps = np.diff(places)
    apart = gaps[gaps > NEAR * step]
    # the lower median: a gap that skips a level is no usual one
    own = float(np.sort(apart)[(len(apart) - 1) // 2]) if len(apart) else step
    own = step if own > FAR * step else own
    steps = np.where(gaps > NEAR * step, np.maximum(np.floor(gaps / own + 2 - SKIP), 1), 0)
    return np.concatenate(([0], np.cumsum(steps))).astype(np.int64)


def _evidence(
    logits: npt.NDArray[np.float32],
    rest: npt.NDArray[np.float32],
    total: npt.NDArray[np.float32],
    pieces: npt.NDArray[np.int32],
    whole: npt.NDArray[np.int64],
    chain: Sequence[int],
) -> npt.NDArray[np.float64]:
    """(pieces, levels + 1): log probability of each level, then of none of them; summed, mean of the column's voxels.

    The mean, not the sum: the voxels of a case err together, so that they say no more than one of them would.
    """
    inside = pieces > 0
    of_piece, length = pieces[inside], int(pieces.max()) + 1

    def summed(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        said = np.maximum(values[inside] - total[inside], DOUBT)
        return np.bincount(of_piece, said, minlength=length)[whole].astype(np.float64)

    every = np.stack([*(summed(logits[level]) for level in chain), summed(rest)], axis=1)
    mean: npt.NDArray[np.float64] = every / np.bincount(of_piece, minlength=length)[whole].sum()
    return mean


def _likeliest(
    evidence: npt.NDArray[np.float64], ranks: npt.NDArray[np.int64], ends_seen: tuple[float, float]
) -> npt.NDArray[np.int64]:
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
