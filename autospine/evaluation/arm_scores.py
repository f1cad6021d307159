"""What several arms came to on the cases that all of them have scored: subject by subject, lesion by lesion.

A subject's score is the mean over its cases (`evaluation.paired` compares subjects). A class that a case lacks says
nothing where all arms leave it alone. Where one of them finds it there, it scores 0 in Dice, IoU, precision,
sensitivity and surface Dice, and those that rightly found nothing score 1, and are off by no volume: else a false find
would drop out of the comparison together with its pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autospine.evaluation.metrics import METRICS
from autospine.evaluation.paired import Compared, Floats, compare, corrected
from autospine.evaluation.score import mean_of_known

RIGHTLY_EMPTY: Mapping[str, float] = {
    **dict.fromkeys(("dice", "iou", "precision", "sensitivity", "surface_dice"), 1.0),
    "volume_difference_mm3": 0.0,
}
"""What finding nothing where nothing is counts beside an arm that found something."""


@dataclass(frozen=True)
class ArmScores:
    """What each arm came to, subject by subject."""

    arms: tuple[str, ...]
    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    """Those whose cases every arm has scored."""
    cases: int
    """Cases of these subjects that every arm has scored."""
    values: Floats
    """(arms, subjects, classes, `METRICS`); NaN where a subject says nothing, see `metrics.EMPTY_RULE`."""
    voxels: Floats
    """(subjects, classes) mean voxels of a class in the reference; NaN where a subject has none."""

    def of(self, arm: str, metric: str = "dice") -> Floats:
        """(subjects, classes) of `metric`."""
        values: Floats = self.values[self.arms.index(arm), :, :, METRICS.index(metric)]
        return values

    def class_size(self, index: int) -> float:
        """Median voxels of the class at `index` over the subjects that have it; NaN where none has."""
        held = self.voxels[~np.isnan(self.voxels[:, index]), index]
        return float(np.median(held)) if len(held) else math.nan


@dataclass(frozen=True)
class LesionTally:
    """Lesions of a class over the cases that every arm has scored, counted as in `evaluation.lesions`."""

    arm: str
    label: str
    found: int
    missed: int
    true: int
    false: int

    @property
    def sensitivity(self) -> float:
        """Found over all; NaN where there are no lesions."""
        return self.found / (self.found + self.missed) if self.found + self.missed else math.nan

    @property
    def precision(self) -> float:
        """True over all that was predicted; NaN where nothing was."""
        return self.true / (self.true + self.false) if self.true + self.false else math.nan


def gather_scores(
    tables: Mapping[str, Sequence[Mapping[str, Any]]], classes: Sequence[str], subjects: Mapping[str, str]
) -> ArmScores:
    """Scores of the arms in `tables`: arm -> the `cases` of its metrics.json files; `subjects`: case -> subject.

    Cases that an arm has not scored are left out for all of them: what is compared is paired.
    """
    by_case = {arm: {str(table["case"]): table["classes"] for table in cases} for arm, cases in tables.items()}
    shared = _shared(tables)
    of_subject: dict[str, list[str]] = {}
    for case in sorted(shared):
        of_subject.setdefault(subjects.get(case, case), []).append(case)
    names = tuple(sorted(of_subject))
    values = np.full((len(by_case), len(names), len(classes), len(METRICS)), math.nan)
    voxels = np.full((len(names), len(classes)), math.nan)
    for row, name in enumerate(names):
        for column, label in enumerate(classes):
            found = [[cases[case][label] for case in of_subject[name]] for cases in by_case.values()]
            for index, metric in enumerate(METRICS):
                # null is what the empty rule leaves out; what a file lacks, as older ones do, was not measured
                scored = [[table.get(metric, math.nan) for table in of_arm] for of_arm in found]
                if metric in RIGHTLY_EMPTY:
                    scored = _with_rightly_empty(scored, RIGHTLY_EMPTY[metric])
                for place, numbers in enumerate(scored):
                    values[place, row, column, index] = mean_of_known(
                        math.nan if number is None else number for number in numbers
                    )
            # the reference is the same for all
            voxels[row, column] = mean_of_known(table["reference_voxels"] or math.nan for table in found[0])
    return ArmScores(tuple(by_case), tuple(classes), names, len(shared), values, voxels)


def _with_rightly_empty(scored: Sequence[Sequence[float | None]], empty: float) -> list[list[float | None]]:
    """Figures (arms, cases) of a class with `empty` for an arm that has none where another one has.

    An arm has none where neither it nor the reference has the class; another one then found what is not there. What was
    not measured is NaN, and says neither.
    """
    somewhere = [
        any(number is not None and not math.isnan(number) for number in of_case)
        for of_case in zip(*scored, strict=True)
    ]
    return [
        [empty if number is None and found else number for number, found in zip(of_arm, somewhere, strict=True)]
        for of_arm in scored
    ]


def _shared(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> set[str]:
    """Cases that every arm has scored."""
    scored = [{str(table["case"]) for table in cases} for cases in tables.values()]
    return set.intersection(*scored) if scored else set()


def tally_lesions(tables: Mapping[str, Sequence[Mapping[str, Any]]], classes: Sequence[str]) -> tuple[LesionTally, ...]:
    """Lesions of each class and arm, from the same tables; none where they were not counted."""
    shared = _shared(tables)
    found = []
    for label in classes:
        for arm, cases in tables.items():
            counts = [case["lesions"][label] for case in cases if case["case"] in shared and "lesions" in case]
            sums = (sum(int(count[key]) for count in counts) for key in ("found", "missed", "true", "false"))
            found += [LesionTally(arm, label, *sums)] if counts else []
    return tuple(found)


def compare_classes(scores: ArmScores, reference: str, metric: str = "dice") -> dict[tuple[str, str], Compared]:
    """(class, arm) -> the arm against the arm `reference` in that class, all of them corrected as one family."""
    found = {
        (label, one.arm): one
        for index, label in enumerate(scores.classes)
        for one in compare({arm: scores.of(arm, metric)[:, index] for arm in scores.arms}, reference)
    }
    return dict(zip(found, corrected(list(found.values())), strict=True))
