"""What is done to a segmentation after the network: components removed, holes filled, structure by structure.

    class indices   1 1 . 1        `largest` of class 1        1 1 . .
                    1 1 . .   ->                               1 1 . .
                    . . 2 2                                    . . 2 2

What is removed becomes background. Two things are known of structures that are not alone:

    regions   what is taken out of a region stays in those around it, and takes with it those inside it
    levels    of a chain that touch are parts of one piece: a component that is removed where it touches another level
              becomes that level, so that no vertebra is left with a bite

Voxels that touch by a face, an edge or a corner are connected. Of a hole that is the other way round: only what is
closed on all faces is one. A volume one slice thick is treated as the slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.box import box_around
from autospine.planning.document.data import DataPlan
from autospine.planning.document.postprocessing import Postprocessing, Step

Labels = npt.NDArray[np.uint8]
Box = tuple[slice, ...]
_CORNERS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Rules:
    """What removing and filling mean for each structure; the last row is all of them together."""

    names: tuple[str | None, ...]
    inside: npt.NDArray[np.bool_]
    """(structures + 1, classes + 1): whether a class is of the structure."""
    removed: npt.NDArray[np.uint8]
    """(structures + 1, classes + 1): the class that one becomes where the structure is taken away."""
    filled: npt.NDArray[np.uint8]
    """(structures + 1, classes + 1): the class that one becomes in a hole of the structure."""
    chain: tuple[int, ...]
    """Classes that are levels of one column."""

    @staticmethod
    def of(data: DataPlan) -> Rules:
        """Those of the structures of a data set."""
        members, classes = [set(one) for one in data.members], data.classes + 1
        held = [frozenset(index for index, own in enumerate(members) if one in own) for one in range(classes)]
        inside = np.zeros((len(members) + 1, classes), bool)
        removed = np.tile(np.arange(classes, dtype=np.uint8), (len(inside), 1))
        filled = removed.copy()
        for index, own in enumerate(members):
            within = {other for other, its in enumerate(members) if its <= own}
            for one in range(classes):
                inside[index, one] = one in own
                if one in own:
                    left = held[one] - within
                    removed[index, one] = next((at for at, holds in enumerate(held) if holds == left), 0)
                elif all(own < members[other] for other in held[one]) and (one == 0 or held[one]):
                    filled[index, one] = data.written[index] if data.regions else index + 1
        inside[-1, 1:], removed[-1] = True, 0
        chain = () if data.levels is None else tuple(data.levels.classes)
        return Rules((*data.targets, None), inside, removed, filled, chain)


@dataclass(frozen=True)
class Components:
    """The connected components of one structure in a volume."""

    box: Box
    """Where they lie, with a margin of a voxel where the volume has one."""
    numbers: npt.NDArray[np.int32]
    """In the box: the component of each voxel, from 1; 0 beside the structure."""
    sizes: npt.NDArray[np.int64]
    """Voxels of each number; of 0 none are counted."""
    becomes: npt.NDArray[np.uint8]
    """Of each number the level that it touches, which it becomes where it is removed; 0 where it touches none."""

    @staticmethod
    def of(labels: Labels, row: int, rules: Rules) -> Components | None:
        """Those of the structure in `row` of the rules in class indices (Z, Y, X); None where there is none of it."""
        mask = rules.inside[row][labels]
        if not mask.any():
            return None
        around = (slice(max(0, span.start - 1), span.stop + 1) for span in box_around(mask))
        box = tuple(around)
        numbers, count = ndimage.label(mask[box], _CORNERS)
        sizes = np.bincount(numbers.ravel(), minlength=count + 1)
        sizes[0] = 0
        becomes = np.zeros(count + 1, np.uint8)
        others = [one for one in rules.chain if not rules.inside[row, one]]
        if len(others) < len(rules.chain) and others and row + 1 < len(rules.names):
            becomes = _touched(labels[box], numbers, count, others)
        return Components(box, numbers, sizes, becomes)

    def dropped(self, step: Step, voxel_mm3: float) -> npt.NDArray[np.bool_]:
        """Which numbers a `step` removes, of voxels of this volume."""
        if step.kind == "largest":
            dropped = np.ones(len(self.sizes), bool)
            dropped[int(self.sizes.argmax())] = False
        else:
            # a volume of 300 mm3 in voxels of 0.1 mm3 is 3000 of them, whatever the last bit says
            dropped = self.sizes * voxel_mm3 < (step.volume_mm3 or 0.0) * (1 - 1e-9)
        dropped[0] = False
        return dropped

    def after(self, labels: Labels, row: int, rules: Rules) -> Labels:
        """In the box: the class of each voxel of the structure if its component is removed, of others their own."""
        own: Labels = labels[self.box]
        level = self.becomes[self.numbers]
        return np.where(level > 0, level, np.where(self.numbers > 0, rules.removed[row][own], own)).astype(np.uint8)


def _touched(labels: Labels, numbers: npt.NDArray[np.int32], count: int, others: Sequence[int]) -> Labels:
    """Of each component the level, one of `others`, that most of the voxels around it have; 0 where none has any."""
    near = ndimage.maximum_filter(numbers, size=3, mode="constant")
    beside = (near > 0) & np.isin(labels, others)
    width = max(others) + 1
    cells = near[beside].astype(np.int64) * width + labels[beside]
    counts = np.bincount(cells, minlength=(count + 1) * width).reshape(count + 1, width)
    return np.where(counts.any(axis=1), counts.argmax(axis=1), 0).astype(np.uint8)


def find_holes(labels: Labels, row: int, rules: Rules) -> tuple[Box, npt.NDArray[np.bool_]] | None:
    """(box, mask in it): the voxels in holes of a structure that filling changes; None where there are none."""
    mask = rules.inside[row][labels]
    if not mask.any():
        return None
    box = tuple(box_around(mask))
    flat = tuple(axis for axis in range(3) if labels.shape[axis] == 1)
    outside = np.pad(~mask[box], [(0, 0) if axis in flat else (1, 1) for axis in range(3)], constant_values=True)
    numbers, count = ndimage.label(outside)
    if count < 2:
        return None
    first = tuple(0 for _ in range(3))  # a corner of the margin, which is all one
    inner = tuple(slice(None) if axis in flat else slice(1, -1) for axis in range(3))
    closed = (numbers[inner] > 0) & (numbers[inner] != numbers[first])
    own = labels[box]
    changed: npt.NDArray[np.bool_] = closed & (rules.filled[row][own] != own)
    return (box, changed) if changed.any() else None


def filled(labels: Labels, row: int, rules: Rules) -> Labels:
    """Class indices with the holes of a structure filled; the very array where it has none."""
    found = find_holes(labels, row, rules)
    if found is None:
        return labels
    box, changed = found
    made = labels.copy()
    made[box][changed] = rules.filled[row][labels[box][changed]]
    return made


def postprocessed(
    labels: Labels, postprocessing: Postprocessing, data: DataPlan, spacing_mm: Sequence[float]
) -> Labels:
    """Class indices (Z, Y, X), 0 for background, after all steps; the array that is given stays as it is.

    Args:
        labels: class indices of `data`.
        postprocessing: the steps; each is for a structure of `data` or for all together.
        data: what is segmented.
        spacing_mm: voxel size along (Z, Y, X); 1 across a 2D image.
    """
    if not postprocessing:
        return labels
    rules, voxel_mm3 = Rules.of(data), prod(spacing_mm)
    made = labels
    for step in postprocessing.steps:
        row = rules.names.index(step.structure)
        if step.kind == "fill":
            made = filled(made, row, rules)
            continue
        components = Components.of(made, row, rules)
        if components is None:
            continue
        dropped = components.dropped(step, voxel_mm3)
        if dropped.any():
            gone = dropped[components.numbers]
            after = components.after(made, row, rules)
            made = made.copy()
            made[components.box][gone] = after[gone]
    return made
