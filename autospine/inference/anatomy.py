"""What was found of each structure, and whether a body can be so: pieces, levels in their order, sides.

L5 L4 . L2      a level is missing between others          L5 L3 L4     L3 and L4 are misplaced
left | right    the left one lies to the right             L4, L4       one level twice
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.geometry import triple
from autospine.inference.instances import SMALLEST_PIECE
from autospine.planning.document.data import DataPlan

LEFT = 2
"""Canonical axis that runs towards the left."""
Labels = npt.NDArray[np.uint8]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Found:
    """A structure in the labels of a case."""

    volume_mm3: float
    islands: int
    """Connected components, by faces."""
    largest: float
    """Share of its voxels that the largest of them has; 0 where there is none."""
    edge: float
    """Share of its voxels in the outermost planes of the image."""


@dataclass(frozen=True)
class Anatomy:
    """All structures of a case."""

    structures: tuple[Found, ...]
    """In the order of the model."""
    levels_missing: int = 0
    levels_misplaced: int = 0
    levels_doubled: int = 0
    sides_swapped: int = 0


def describe_anatomy(labels: Labels, data: DataPlan, spacing_mm: Sequence[float]) -> Anatomy:
    """What the class indices `labels` (Z, Y, X), on canonical axes with this `spacing_mm`, show of the structures."""
    boxes = ndimage.find_objects(labels, data.classes)
    voxel_mm3 = float(np.prod(spacing_mm))
    found = tuple(_of_structure(_Mask.of(labels, boxes, held), voxel_mm3) for held in data.members)
    swapped = 0
    for pair in data.sides:
        left, right = (_Mask.of(labels, boxes, (value,)) for value in pair)
        swapped += left is not None and right is not None and left.centre(LEFT) < right.centre(LEFT)
    if data.levels is None:
        return Anatomy(found, sides_swapped=swapped)
    axis = data.levels.axis
    held_levels = [_Mask.of(labels, boxes, (level,)) for level in data.levels.classes]
    column = [(place, held) for place, held in enumerate(held_levels) if held is not None]
    missing = column[-1][0] - column[0][0] + 1 - len(column) if column else 0
    along = [held.centre(axis) for _, held in column]
    misplaced = sum(later <= earlier for earlier, later in zip(along, along[1:], strict=False))
    return Anatomy(found, missing, misplaced, sum(_is_doubled(held.mask, axis) for _, held in column), swapped)


def absent_of(labels: Labels, data: DataPlan) -> frozenset[str]:
    """Names of the structures of which the class indices `labels` (Z, Y, X) have no voxel."""
    boxes = ndimage.find_objects(labels, data.classes)
    return frozenset(
        name for name, held in zip(data.targets, data.members, strict=True) if not any(boxes[one - 1] for one in held)
    )


@dataclass(frozen=True)
class _Mask:
    """A structure that is there, in the box around it."""

    mask: npt.NDArray[np.bool_]
    start: tuple[int, ...]
    whole: tuple[int, ...]
    """Voxels of the image."""

    @staticmethod
    def of(labels: Labels, boxes: Sequence[Box | None], classes: Sequence[int]) -> _Mask | None:
        """The voxels of any of `classes`, of which `boxes` holds that of class 1 first; None where there are none."""
        held = [box for value in classes if (box := boxes[value - 1]) is not None]
        if not held:
            return None
        around = triple(
            slice(min(one[axis].start for one in held), max(one[axis].stop for one in held)) for axis in range(3)
        )
        mask = labels[around] == classes[0]
        for value in classes[1:]:  # one after the other: looked up together they take eight bytes a voxel
            mask |= labels[around] == value
        return _Mask(mask, tuple(span.start for span in around), labels.shape)

    def centre(self, axis: int) -> float:
        """Mean index along an axis of the image."""
        counts = self.mask.sum(axis=tuple(other for other in range(3) if other != axis))
        return self.start[axis] + float(np.arange(len(counts)) @ counts / counts.sum())


def _of_structure(held: _Mask | None, voxel_mm3: float) -> Found:
    if held is None:
        return Found(0.0, 0, 0.0, 0.0)
    _, sizes = _pieces(held.mask)
    total = int(sizes.sum())
    within = tuple(
        # all of a slice would be its edge
        slice(None) if size < 3 else slice(int(start == 0), length - int(start + length == size))
        for start, length, size in zip(held.start, held.mask.shape, held.whole, strict=True)
    )
    edge = total - int(np.count_nonzero(held.mask[within]))
    return Found(total * voxel_mm3, len(sizes), float(sizes.max() / total), edge / total)


def _pieces(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """(number of the component of each voxel, from 1, and 0 beside them; voxels of each component)."""
    numbers, count = ndimage.label(mask)
    sizes = np.zeros(count + 1, np.int64)
    for plane in numbers:  # counting makes a copy of eight bytes a voxel
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return numbers, sizes[1:]


def _is_doubled(mask: npt.NDArray[np.bool_], axis: int) -> bool:
    """Whether a level has two large pieces, neither of which reaches along the column to where the other one is."""
    numbers, sizes = _pieces(mask)
    boxes = ndimage.find_objects(numbers)
    large = np.flatnonzero(sizes >= SMALLEST_PIECE * sizes.max())
    spans = sorted((boxes[piece][axis].start, boxes[piece][axis].stop) for piece in large)
    return any(later[0] >= earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))
