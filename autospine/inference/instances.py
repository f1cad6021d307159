"""Whole vertebrae in a mask of all of them together: what touches is told apart, and what is one stays one.

    the mask       1. its names     2. how deep inside     3. parts that are too short
                                                              to be one are joined
     ######          aaaaaa            1 2 2 2 1
     ######          aaaaaa            1 4 x 4 1                111111
      ####    --->    bbbb              2 3 2        --->       111111
     ######          bbbbbb            1 4 x 4 1                 2222
     ######          bbbbbb            1 2 2 2 1                222222

1. Where the network calls parts of a piece by several levels, each about as long as a vertebra, these are vertebrae.
2. What is still too long for one is thick in the middles of its vertebrae and thin between them: from each middle a
   watershed floods downwards, and they meet where it is thinnest (Beucher and Lantuejoul 1979; scikit-image). Where a
   joint is as thick as the bodies, it is cut evenly.
3. A vertebra that is called by one level at its top and by another at its bottom was cut in the first step: parts that
   are too short, and together no longer than one, are one.

Our own rules, and all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.codes.structures import is_vertebrae
from autospine.planning.document.data import DataPlan

SMALLEST_PIECE = 0.2
"""Voxels of a piece over those of a usual one. A smaller piece is a crumb: it is no vertebra and takes the level of the
nearest one. Lower, stray voxels count as vertebrae and shift their neighbours; higher, vertebrae that the edge of the
image cuts are lost."""
LONGEST = 1.5
"""Extent of a part along the column over that of a usual vertebra. A longer one is several that touch. Lower, tall
vertebrae are cut in two; higher, two that touch get one level."""
SHORTEST = 0.6
"""Likewise: a shorter part of a piece is no vertebra by itself. Lower, one with two names is cut in two; higher, a thin
one that touches the next is joined with it."""
LEAST_APART = 0.6
"""Distance of the middles of two vertebrae over the usual one. Lower, one with two humps is two; higher, two that are
short are one."""
LEAST_DEEP = 0.5
"""Depth of a middle over that of the usual one. Lower, a process is a vertebra; higher, a thin one at the edge is
none."""
OFF_COLUMN_MM, LEANING = 20.0, 0.5
"""How far a middle may be beside the nearest one along the column: so far, and so much more for each mm along it.
Lower, a column that leans loses vertebrae; higher, a spinous process that is apart from its body is a vertebra."""
SIDEWAYS = 0.3
"""Weight of a distance across the column against one along it: a body is wider than it is high, and has one middle."""
SHORTEST_STEP_MM = 14.0
"""From one vertebra to the next: cervical levels of small adults are 15 mm apart."""
MOST_VOXELS = 1 << 21
"""Of the box around a piece in which it is cut; a larger one is cut at a coarser resolution (20 MB of distances)."""

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Usual:
    """A usual vertebra of a case."""

    extent_mm: float
    """Along the column."""
    step_mm: float
    """From one to the next."""


def places_along(shape: Sequence[int], axis: int) -> Numbers:
    """The place along an axis of each voxel of a volume; a view that may not be written to."""
    lying = [shape[axis] if one == axis else 1 for one in range(len(shape))]
    return np.broadcast_to(np.arange(shape[axis], dtype=np.int32).reshape(lying), shape)


def cut_apart(
    numbers: Numbers, named: npt.NDArray[np.uint8], axis: int, spacing_mm: Sequence[float], usual: Usual
) -> None:
    """Give each vertebra of a piece a number of its own, in place, in `numbers`; further ones follow the highest.

    Args:
        numbers: (a0, a1, a2): the piece of each voxel, from 1; 0 is none.
        named: (a0, a1, a2): the likeliest level of each voxel.
        axis: along which the column runs.
        spacing_mm: of the voxels.
        usual: how large a vertebra is here, and how far from the next.
    """
    boxes = ndimage.find_objects(numbers)
    highest, size = len(boxes), spacing_mm[axis]
    for piece, box in enumerate(boxes, 1):
        if box is None or (box[axis].stop - box[axis].start) * size <= SHORTEST * usual.extent_mm:
            continue
        mask = numbers[box] == piece
        parts = _by_name(mask, named[box], axis, size, usual)
        for part, within in list(enumerate(ndimage.find_objects(parts), 1)):
            if within is None or (within[axis].stop - within[axis].start) * size <= LONGEST * usual.extent_mm:
                continue
            finer = _by_depth(parts[within] == part, axis, spacing_mm, usual)
            parts[within] = np.where(finer > 1, parts.max() + finer - 1, parts[within])
        _join(parts, axis, size, usual)
        for part in np.unique(parts[mask])[1:]:
            highest += 1
            numbers[box][mask & (parts == part)] = highest


def _by_name(mask: Mask, named: npt.NDArray[np.uint8], axis: int, size: float, usual: Usual) -> Numbers:
    """The part of each voxel of a piece by its level, from 1; of levels that have little of it, by the nearest."""
    places = places_along(mask.shape, axis)
    voxels, whole = np.bincount(named[mask]), []
    for level in np.flatnonzero(voxels >= SMALLEST_PIECE * voxels.max()):
        low, high = np.quantile(places[mask & (named == level)], (0.05, 0.95))
        if (high - low + 1) * size >= SHORTEST * usual.extent_mm:
            whole.append((level, (low + high) / 2))
    whole.sort(key=lambda one: one[1])
    apart = [later[1] - earlier[1] for earlier, later in pairwise(whole)]
    if len(whole) < 2 or min(apart) * size < LEAST_APART * usual.extent_mm:
        return mask.astype(np.int32)
    parts = np.zeros(mask.shape, np.int32)
    for number, (level, _) in enumerate(whole, 1):
        parts[mask & (named == level)] = number
    return _filled(parts, mask)


def _join(parts: Numbers, axis: int, size: float, usual: Usual) -> None:
    """Join parts of a piece that are short, in place, with the neighbour with which they are no longer than one."""
    while True:
        spans = sorted(
            (box[axis].start, box[axis].stop, part) for part, box in enumerate(ndimage.find_objects(parts), 1) if box
        )
        for earlier, later in pairwise(spans):
            shortest = min(one[1] - one[0] for one in (earlier, later)) * size
            together = (max(earlier[1], later[1]) - earlier[0]) * size
            if shortest < SHORTEST * usual.extent_mm and together <= LONGEST * usual.extent_mm:
                parts[parts == later[2]] = earlier[2]
                break
        else:
            return


def _filled(parts: Numbers, mask: Mask) -> Numbers:
    """Parts in which each voxel of the mask that has none goes with the nearest."""
    lost = mask & (parts == 0)
    if lost.any():
        nearest = ndimage.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
        parts[lost] = parts[tuple(nearest[:, lost])]
    return np.where(mask, parts, 0).astype(np.int32)


def _by_depth(mask: Mask, axis: int, spacing_mm: Sequence[float], usual: Usual) -> Numbers:
    """The vertebra, from 1, of each voxel of a piece; 0 beside it."""
    basin = _Basin.of(mask, spacing_mm, usual.extent_mm)
    middles = _middles(basin.depth, axis, basin.spacing_mm, usual)
    if len(middles) < 2:
        return _evenly(mask, axis, spacing_mm[axis], usual)
    return basin.flooded(middles, mask)


@dataclass(frozen=True)
class _Basin:
    """A mask as a landscape: how deep inside it lies, at a resolution that is fine enough."""

    depth: npt.NDArray[np.float64]
    """mm; 0 beside the mask."""
    thin: tuple[int, ...]
    """Every how manieth voxel of the mask is looked at, along each axis."""
    spacing_mm: tuple[float, ...]

    @staticmethod
    def of(mask: Mask, spacing_mm: Sequence[float], extent_mm: float) -> _Basin:
        """Of a `mask`, smoothed as befits vertebrae that are so long."""
        thin = _thinning(mask.shape, spacing_mm)
        coarse = mask[tuple(slice(step // 2, None, step) for step in thin)]
        spacing = tuple(step * size for step, size in zip(thin, spacing_mm, strict=True))
        depth = ndimage.distance_transform_edt(np.pad(coarse, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
        sigma = [0.1 * extent_mm / size for size in spacing]
        smooth = ndimage.gaussian_filter(depth, sigma, mode="nearest")
        return _Basin(np.where(coarse, np.maximum(smooth, 1e-3), 0), thin, spacing)

    def flooded(self, middles: Sequence[tuple[int, ...]], mask: Mask) -> Numbers:
        """The middle, from 1, that each voxel of the mask goes to."""
        from skimage.segmentation import watershed  # slow to import, and seldom needed

        markers = np.zeros(self.depth.shape, np.int32)
        for number, place in enumerate(middles, 1):
            markers[place] = number
        parts = watershed(-self.depth, markers, mask=self.depth > 0)  # type: ignore[no-untyped-call]
        places = [np.arange(size) // step for size, step in zip(mask.shape, self.thin, strict=True)]
        near = [np.minimum(place, held - 1) for place, held in zip(places, parts.shape, strict=True)]
        return _filled(np.where(mask, parts[np.ix_(*near)], 0), mask)


def _thinning(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[int, ...]:
    """Every how manieth voxel is enough along each axis: each where the box is small, finer axes first."""
    steps, finest = [1, 1, 1], list(spacing_mm)
    while np.prod([size / step for size, step in zip(shape, steps, strict=True)]) > MOST_VOXELS:
        axis = int(np.argmin(finest))
        steps[axis] *= 2
        finest[axis] *= 2
    return tuple(min(step, size) for step, size in zip(steps, shape, strict=True))


def _middles(
    depth: npt.NDArray[np.float64], axis: int, spacing_mm: Sequence[float], usual: Usual
) -> list[tuple[int, ...]]:
    """The deepest places, one after the other, each far enough from those before, and in one column with them."""
    peaks = (depth == ndimage.maximum_filter(depth, size=3)) & (depth > 0)
    found, depths = np.argwhere(peaks), depth[peaks]
    order = np.argsort(-depths, kind="stable")
    found, depths = found[order], depths[order]
    places = found * np.asarray(spacing_mm)
    weights = np.array([1.0 if one == axis else SIDEWAYS for one in range(3)])
    across = [one for one in range(3) if one != axis]
    chosen, left = list[int](), np.arange(len(found))
    # of what is left, how far the nearest chosen one is away along the column, and across it
    along, beside = np.full(len(found), np.inf), np.zeros(len(found))
    while len(left):
        first = int((beside <= OFF_COLUMN_MM + LEANING * along).argmax())
        number = int(left[first])
        if beside[first] > OFF_COLUMN_MM + LEANING * along[first]:
            break
        if chosen and depths[number] < LEAST_DEEP * float(np.median(depths[chosen])):
            break
        chosen.append(number)
        away = places[left] - places[number]
        # of a flat middle every voxel is a peak: those near a chosen one go with it
        kept = np.linalg.norm(away * weights, axis=1) >= LEAST_APART * usual.step_mm
        kept[: first + 1] = False
        left, away, along, beside = left[kept], away[kept], along[kept], beside[kept]
        nearer = np.abs(away[:, axis]) < along
        along = np.where(nearer, np.abs(away[:, axis]), along)
        beside = np.where(nearer, np.linalg.norm(away[:, across], axis=1), beside)
    return [tuple(int(part) for part in found[number]) for number in chosen]


def _evenly(mask: Mask, axis: int, size: float, usual: Usual) -> Numbers:
    """The part of each voxel of a piece without a thin place: as many as are as long together, one above the other."""
    rows = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
    length = int(rows[-1] - rows[0]) + 1
    count = max(1, int((length * size - usual.extent_mm) / usual.step_mm + 0.25) + 1)
    part = (places_along(mask.shape, axis) - rows[0]).clip(0, length - 1) * count // length + 1
    return np.where(mask, part, 0).astype(np.int32)


def separate(mask: Mask, axis: int, spacing_mm: Sequence[float]) -> Numbers:
    """Vertebrae in a mask of all of them, told apart and numbered from below, the first 1; 0 beside them.

    How far they are apart is first taken to be what it is at the least (`SHORTEST_STEP_MM`), and then what was found.

    Args:
        mask: (a0, a1, a2).
        axis: along which the column runs, from below.
        spacing_mm: of the voxels.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    basin = _Basin.of(mask[box], spacing_mm, SHORTEST_STEP_MM)
    step_mm = SHORTEST_STEP_MM
    for _ in range(2):  # the second time with the step that was found
        middles = _middles(basin.depth, axis, basin.spacing_mm, Usual(step_mm, step_mm))
        places = np.sort([place[axis] * basin.spacing_mm[axis] for place in middles])
        if len(places) > 2:
            step_mm = max(SHORTEST_STEP_MM, float(np.median(np.diff(places))))
    middles.sort(key=lambda place: place[axis])
    numbers = np.zeros(mask.shape, np.int32)
    numbers[box] = basin.flooded(middles, mask[box])
    return numbers


def can_separate(data: DataPlan) -> bool:
    """Whether segmentations of such data show vertebrae that can be told apart."""
    return data.levels is not None or bool(_merged(data))


def separate_merged(labels: npt.NDArray[np.uint8], data: DataPlan, spacing_mm: Sequence[float]) -> Numbers:
    """The vertebrae of a segmentation whose labels tell no level, numbered from below, the first 1; 0 beside them.

    Args:
        labels: class indices (Z, Y, X) on canonical axes.
        data: what they mean.
        spacing_mm: of the voxels, along canonical (Z, Y, X).
    """
    return separate(np.isin(labels, _merged(data)), 0, spacing_mm)


def number_levels(
    labels: npt.NDArray[np.uint8], found: npt.NDArray[np.uint16], levels: Sequence[int | None], chain: Sequence[int]
) -> Numbers:
    """The vertebrae of a segmentation whose labels are levels, each by its number; 0 beside them.

    Two vertebrae in a row that have one level stay two, and one beyond the levels that the model knows, which has no
    label, is there.

    Args:
        labels: class indices (a0, a1, a2).
        found: (a0, a1, a2): the number of the vertebra that was found there, from 1; 0 is none. At the edges of a
            vertebra the labels count.
        levels: the class index of each vertebra; None where it has none.
        chain: the class indices that are levels.
    """
    classes = np.array([0, *(index or 0 for index in levels)], np.uint8)
    beyond = np.array([False, *(index is None for index in levels)])
    numbers = np.where(beyond[found] & (labels == 0), found, 0).astype(np.int32)
    for index, box in enumerate(ndimage.find_objects(labels, max_label=max(chain)), 1):
        if index not in chain or box is None:
            continue
        mask = labels[box] == index
        parts = np.where(mask & (classes[found[box]] == index), found[box], 0).astype(np.int32)
        if parts.any():
            numbers[box][mask] = _filled(parts, mask)[mask]
    lost = np.isin(labels, chain) & (numbers == 0)
    if lost.any() and numbers.any():  # slivers between grids, of a level that no vertebra has there
        nearest = ndimage.distance_transform_edt(numbers == 0, return_distances=False, return_indices=True)
        numbers[lost] = numbers[tuple(nearest[:, lost])]
    return numbers


def _merged(data: DataPlan) -> list[int]:
    """Class indices of vertebrae without a level."""
    return [index for index, name in enumerate(data.names, 1) if is_vertebrae(name)]
