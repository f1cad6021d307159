"""What steps of postprocessing would do to the overlap with a reference, worked out once for a case.

    component of L5    voxels   in the reference's L5      removed by
    1                  9000     8500                       nothing
    2                   120        3                       largest, above 30 mm3 (voxels of 0.5 mm3), ...
    3                    10        0                       largest, above 10 mm3, ...

Each option's effect is the sum over the components that it removes: counts of voxels, of which Dice is made later, for
any set of steps and cases, and no volume is looked at again. Steps fill holes before they remove components.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.structure import IGNORED
from autospine.evaluation.label_pair import LabelPair
from autospine.inference.postprocessing import Components, Labels, Rules, filled, find_holes
from autospine.planning.document.data import DataPlan
from autospine.planning.document.postprocessing import Step

VOLUMES_MM3 = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Below which components may be removed: from a few voxels of a usual scan to a third of a disc, and each some three
times the one before, so that few are tried (ours)."""
Counts = npt.NDArray[np.int64]
Key = tuple[int, int]
"""(row of the structure in `Rules`, number of the option)."""


@cache
def options(structure: str | None) -> tuple[tuple[Step, ...], ...]:
    """What may be done to a structure, the least first; nothing is no option. Holes are filled of single ones alone."""
    removals = [Step("above", structure, volume) for volume in VOLUMES_MM3] + [Step("largest", structure)]
    alone = tuple((step,) for step in removals)
    if structure is None:
        return alone
    fill = Step("fill", structure)
    return ((fill,), *alone, *((fill, step) for step in removals))


@dataclass(frozen=True)
class Figures:
    """A segmentation of a case beside its reference, in counts of voxels."""

    overlaps: Counts
    """(structures, 3): in both, predicted, in the reference."""
    effects: Mapping[Key, Counts] = field(default_factory=dict)
    """What is added to the first two of these: (structures, 2); options that change nothing have none."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`: of effects (row, option, structure, both, predicted) where they are not 0."""
        rows = [
            [*key, int(at), *map(int, counts[at])]
            for key, counts in sorted(self.effects.items())
            for at in np.flatnonzero(counts.any(axis=1))
        ]
        return {"overlaps": self.overlaps.tolist(), "effects": rows}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Figures:
        """From what `to_json` gave; `KeyError`, `TypeError`, `ValueError` or `IndexError` for anything else."""
        overlaps = np.array(content["overlaps"], np.int64).reshape(-1, 3)
        effects: dict[Key, Counts] = {}
        for row, option, at, both, predicted in content["effects"]:
            effects.setdefault((int(row), int(option)), np.zeros((len(overlaps), 2), np.int64))[at] = both, predicted
        return Figures(overlaps, effects)


def measure(labels: Labels, reference: Labels, spacing_mm: Sequence[float], data: DataPlan) -> Figures:
    """The figures of class indices (Z, Y, X) beside those of the reference, where `IGNORED` voxels count for nothing.

    `spacing_mm` is along (Z, Y, X).
    """
    rules, voxel_mm3 = Rules.of(data), prod(spacing_mm)
    effects: dict[Key, Counts] = {}
    for row, structure in enumerate(rules.names):
        listed = options(structure)
        plain = _removals(labels, reference, row, rules, voxel_mm3, listed)
        effects |= {(row, at): counts for at, counts in plain.items()}
        holes = None if structure is None else find_holes(labels, row, rules)
        after = dict(plain)
        fill = np.zeros((len(rules.names) - 1, 2), np.int64)
        if holes is not None:
            whole = filled(labels, row, rules)
            box, mask = holes
            fill = _changes(labels[box][mask], whole[box][mask], reference[box][mask], None, 1, rules)[0]
            after = _removals(whole, reference, row, rules, voxel_mm3, listed)
        for at, steps in enumerate(listed):
            if steps[0].kind == "fill":
                removal = next((own for own, only in enumerate(listed) if only == steps[1:]), None)
                effects[row, at] = fill + (0 if removal is None or removal not in after else after[removal])
    return Figures(_overlaps(labels, reference, rules), {key: one for key, one in effects.items() if one.any()})


def _overlaps(labels: Labels, reference: Labels, rules: Rules) -> Counts:
    """(structures, 3): voxels in both, predicted, in the reference."""
    pair = LabelPair(labels, reference, IGNORED)
    counts = (pair.counts(tuple(np.flatnonzero(own).tolist())) for own in rules.inside[:-1])
    return np.array([(one.both, one.predicted, one.expected) for one in counts], np.int64)


def _removals(
    labels: Labels,
    reference: Labels,
    row: int,
    rules: Rules,
    voxel_mm3: float,
    listed: Sequence[tuple[Step, ...]],
) -> dict[int, Counts]:
    """Option -> its effect, of those that remove components and do nothing else."""
    components = Components.of(labels, row, rules)
    if components is None:
        return {}
    inside = components.numbers > 0
    before, after = labels[components.box][inside], components.after(labels, row, rules)[inside]
    groups = components.numbers[inside]
    sums = _changes(before, after, reference[components.box][inside], groups, len(components.sizes), rules)
    found = {}
    for at, steps in enumerate(listed):
        if len(steps) == 1 and steps[0].kind != "fill":
            found[at] = sums[components.dropped(steps[0], voxel_mm3)].sum(axis=0)
    return found


def _changes(
    before: Labels, after: Labels, reference: Labels, groups: npt.NDArray[Any] | None, count: int, rules: Rules
) -> Counts:
    """(count, structures, 2): what is added to each structure's voxels in both and predicted, group by group.

    `before`, `after` and `reference` are the classes of some voxels (n,); `groups` their group, from 0 to `count`.
    """
    known = reference != IGNORED
    groups = np.zeros(len(before), np.intp) if groups is None else groups
    before, after, reference, groups = before[known], after[known], reference[known], groups[known]
    structures = len(rules.names) - 1
    found = np.zeros((count, structures, 2), np.int64)
    classes = rules.inside.shape[1]
    kinds = np.unique(before.astype(np.int64) * classes + after)
    for at in range(structures):
        own = rules.inside[at]
        if (own[kinds // classes] == own[kinds % classes]).all():
            continue
        added = own[after].astype(np.int64) - own[before]
        found[:, at, 1] = np.bincount(groups, added, count)
        found[:, at, 0] = np.bincount(groups, added * own[reference], count)
    return found
