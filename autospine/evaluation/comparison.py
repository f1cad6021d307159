"""Arms against the first of them on the same cases: differences, intervals and tests, and what these rest on.

An arm is a set of segmentations. Only what all arms have a number for is compared: where one has missed a structure,
it has no distance to it, and the distances of the others are left out there, too. Which structures one finds and
another misses is told apart from the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from autospine.evaluation.arm_scores import ArmScores, compare_classes, gather_scores
from autospine.evaluation.lesions import COVERED
from autospine.evaluation.metrics import METRICS
from autospine.evaluation.paired import Compared, Floats, Interval, compare, interval, mean_over_classes

CARRYING = 3
"""Subjects that a difference is looked at without: those that it rests on most."""
Table = Mapping[str, Any]
"""A case as `Scores.to_json` has it."""


@dataclass(frozen=True)
class Carried:
    """What the mean difference of an arm rests on."""

    arm: str
    ordered: tuple[tuple[str, float], ...]
    """(subject, difference), those that speak most for the mean difference first, those against it last."""
    without: Compared | None
    """The comparison without the first `CARRYING` of them, not corrected; None where no other is left."""
    turned_by: int | None
    """Fewest subjects without which the mean has another sign; None where none would change it."""


@dataclass(frozen=True)
class Disputed:
    """A structure that some arms find in a case and others do not.

    One that is there is found where a tenth of its voxels is covered, as lesions are; of one that is not there any
    voxel is a find.
    """

    case: str
    label: str
    reference_voxels: int
    """0 where it is not there."""
    finding: tuple[str, ...]
    """Arms that find it."""
    missing: tuple[str, ...]
    """Arms that do not, rightly where it is not there."""


@dataclass(frozen=True)
class Comparison:
    """Arms with their scores on the cases that all of them have."""

    tables: Mapping[str, Sequence[Table]]
    """Arm -> its cases, as `Scores.to_json` has them; the first arm is the one to compare with."""
    classes: tuple[str, ...]
    subjects: Mapping[str, str]
    """Case -> subject."""
    metric: str = "dice"
    """One of `METRICS`, in which the arms are compared."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Arm -> where its segmentations lie."""
    reference: str = ""
    """Where the references lie."""
    left_out: tuple[str, ...] = ()
    """Cases that some arm lacks."""
    notes: tuple[str, ...] = ()
    """What was scored although it may not be meant so."""

    @property
    def arms(self) -> tuple[str, ...]:
        """Their names, the first being the one that the others are compared with."""
        return tuple(self.tables)

    @property
    def first(self) -> str:
        """The arm that the others are compared with."""
        return self.arms[0]

    @cached_property
    def by_case(self) -> ArmScores:
        """Scores case by case, NaN for all arms where one has no number; of differences in volume their size alone."""
        scores = gather_scores(self.tables, self.classes, {})
        values = scores.values.copy()
        volumes = [index for index, metric in enumerate(METRICS) if metric.endswith("_mm3")]
        values[..., volumes] = np.abs(values[..., volumes])
        values[:, np.isnan(values).any(axis=0)] = math.nan
        return replace(scores, values=values)

    @cached_property
    def by_subject(self) -> ArmScores:
        """The same, the mean over the cases of each subject."""
        cases = self.by_case
        owners = [self.subjects.get(case, case) for case in cases.subjects]
        names = tuple(sorted(set(owners)))
        values = np.full((len(cases.arms), len(names), *cases.values.shape[2:]), math.nan)
        voxels = np.full((len(names), len(cases.classes)), math.nan)
        for row, name in enumerate(names):
            own = [index for index, owner in enumerate(owners) if owner == name]
            values[:, row] = _mean(cases.values[:, own], axis=1)
            voxels[row] = _mean(cases.voxels[own], axis=0)
        return replace(cases, subjects=names, values=values, voxels=voxels)

    def means(self, arm: str, metric: str | None = None) -> Floats:
        """(subjects,) the mean over classes of an arm, in `metric` or in the one that is compared."""
        return mean_over_classes(self.by_subject.of(arm, metric or self.metric))

    def mean(self, arm: str, metric: str | None = None) -> Interval:
        """The mean of an arm over subjects and classes, with its interval."""
        return interval(self.means(arm, metric))

    def class_values(self, arm: str, label: str) -> Floats:
        """The scores of an arm in a class, of the subjects that have one."""
        values = self.by_subject.of(arm, self.metric)[:, self.classes.index(label)]
        known: Floats = values[~np.isnan(values)]
        return known

    @cached_property
    def overall(self) -> tuple[Compared, ...]:
        """Each arm against the first in the mean over classes, corrected together."""
        return compare({arm: self.means(arm) for arm in self.arms}, self.first)

    @cached_property
    def by_class(self) -> dict[tuple[str, str], Compared]:
        """(class, arm) -> comparison with the first arm in that class, all of them corrected together."""
        return compare_classes(self.by_subject, self.first, self.metric)

    @cached_property
    def carried(self) -> tuple[Carried, ...]:
        """What each comparison of `overall` rests on."""
        base = self.means(self.first)
        return tuple(_carried(one, self.means(one.arm), base, self.by_subject.subjects) for one in self.overall)

    @cached_property
    def disputed(self) -> tuple[Disputed, ...]:
        """Structures that some arms find and others do not, by class and case; those that are there first."""
        by_arm = {arm: {str(table["case"]): table["classes"] for table in cases} for arm, cases in self.tables.items()}
        found = []
        for label in self.classes:
            for case in self.by_case.subjects:
                entries = {arm: cases[case][label] for arm, cases in by_arm.items()}
                voxels = int(entries[self.first]["reference_voxels"])
                finding = tuple(arm for arm, entry in entries.items() if _finds(entry))
                if 0 < len(finding) < len(entries):
                    missing = tuple(arm for arm in entries if arm not in finding)
                    found.append(Disputed(case, label, voxels, finding, missing))
        return tuple(sorted(found, key=lambda one: one.reference_voxels == 0))


def _finds(entry: Table) -> bool:
    """Whether a class is found in a case."""
    if not entry["reference_voxels"]:
        return bool(entry["predicted_voxels"])
    return float(entry["sensitivity"] or 0) >= COVERED


def _mean(values: Floats, axis: int) -> Floats:
    """The mean of what is known along an axis; NaN where nothing is."""
    known = np.count_nonzero(~np.isnan(values), axis=axis)
    mean: Floats = np.where(known > 0, np.nansum(values, axis=axis) / np.maximum(known, 1), math.nan)
    return mean


def _carried(one: Compared, values: Floats, base: Floats, subjects: Sequence[str]) -> Carried:
    """What a comparison rests on."""
    differences = values - base
    known = np.flatnonzero(~np.isnan(differences))
    toward = 1 if one.difference.mean >= 0 else -1
    order = known[np.argsort(-toward * differences[known], kind="stable")]
    ordered = tuple((subjects[index], float(differences[index])) for index in order)
    without, rest = None, order[CARRYING:]
    if len(rest):
        (without,) = compare({one.reference: base[rest], one.arm: values[rest]}, one.reference)
    sums = [toward * float(differences[order[count:]].sum()) for count in range(1, len(order))]
    turned = next((count for count, left in enumerate(sums, start=1) if left < 0), None)
    return Carried(one.arm, ordered, without, turned)
