"""Paired comparison of arms that were scored on the same cases: differences, intervals, tests.

Subjects are what is drawn at random, so they are what is counted: a subject's score is the mean over its cases. Of each
arm against a reference one

    difference   mean over subjects of the paired differences
    interval     95 %, bootstrap over subjects (BCa, 9999 resamples; Efron 1987)
    p            two-sided Wilcoxon signed-rank test, exact for few subjects, then Holm's correction (Holm 1979)

and a difference is called beyond noise where the corrected p is under 0.05 and the interval leaves 0 out. What another
seed or other folds would change is in none of these.

A class that a case lacks says nothing where all arms leave it alone. Where one of them finds it there, it scores 0 in
Dice, IoU, precision and sensitivity, and those that rightly found nothing score 1: else a false find would drop out of
the comparison together with its pair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.evaluation.metrics import METRICS

RESAMPLES = 9999
LEVEL = 0.05
RIGHTLY_EMPTY = ("dice", "iou", "precision", "sensitivity")
"""Metrics in which finding nothing where nothing is counts 1 beside an arm that found something."""
_SEED = 1
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StudyScores:
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
        held = self.voxels[:, index]
        held = held[~np.isnan(held)]
        return float(np.median(held)) if len(held) else math.nan


@dataclass(frozen=True)
class LesionTally:
    """Lesions of a class over the cases that every arm has scored (`evaluation.lesions`)."""

    arm: str
    label: str
    found: int
    missed: int
    true: int
    """Predicted components that touch a lesion which was found."""
    false: int
    """Other predicted components."""

    @property
    def sensitivity(self) -> float:
        """Found over all; NaN where there are no lesions."""
        return self.found / (self.found + self.missed) if self.found + self.missed else math.nan

    @property
    def precision(self) -> float:
        """True over all that was predicted; NaN where nothing was."""
        return self.true / (self.true + self.false) if self.true + self.false else math.nan


@dataclass(frozen=True)
class Interval:
    """A mean over subjects with its 95 % bootstrap interval; NaN where there is nothing to draw from."""

    mean: float
    low: float
    high: float
    subjects: int


@dataclass(frozen=True)
class Compared:
    """An arm against the reference arm, in one figure."""

    arm: str
    reference: str
    difference: Interval
    """Arm minus reference."""
    p: float
    """Of the Wilcoxon signed-rank test; NaN without subjects."""
    corrected: float
    """After Holm's correction over the comparisons made together."""
    least: float = 0.0
    """The smallest p that its subjects without a tie could have given it by itself, after the same correction."""

    @property
    def beyond_noise(self) -> bool:
        """Whether test and interval agree that there is a difference."""
        return self.corrected < LEVEL and (self.difference.low > 0 or self.difference.high < 0)


def gather_scores(
    tables: Mapping[str, Sequence[Mapping[str, Any]]], classes: Sequence[str], subjects: Mapping[str, str]
) -> StudyScores:
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
                scored = [[table.get(metric) for table in of_arm] for of_arm in found]
                if metric in RIGHTLY_EMPTY:
                    scored = _with_rightly_empty(scored)
                for place, numbers in enumerate(scored):
                    values[place, row, column, index] = _mean(numbers)
            # the reference is the same for all
            voxels[row, column] = _mean([table["reference_voxels"] or None for table in found[0]])
    return StudyScores(tuple(by_case), tuple(classes), names, len(shared), values, voxels)


def _with_rightly_empty(scored: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    """Figures (arms, cases) of a class with 1 for an arm that has none where another one has.

    An arm has none where neither it nor the reference has the class; another one then found what is not there.
    """
    somewhere = [any(number is not None for number in of_case) for of_case in zip(*scored, strict=True)]
    return [
        [1.0 if number is None and found else number for number, found in zip(of_arm, somewhere, strict=True)]
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


def _mean(values: Sequence[float | None]) -> float:
    known = [float(value) for value in values if value is not None]
    return math.fsum(known) / len(known) if known else math.nan


def mean_over_classes(values: Floats) -> Floats:
    """(subjects, classes) -> (subjects,): the mean over the classes that a subject has; NaN where it has none."""
    known = ~np.isnan(values)
    counts = known.sum(1)
    sums = np.where(known, values, 0).sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), math.nan)


def interval(values: Floats) -> Interval:
    """Mean of `values` (subjects,) and its interval; NaN are left out, and fewer than two give no interval."""
    from scipy import stats  # slow to import

    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    if np.ptp(known) == 0:
        return Interval(mean, mean, mean, len(known))
    rng = np.random.default_rng(_SEED)
    drawn = stats.bootstrap((known,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=rng).confidence_interval
    return Interval(mean, float(drawn.low), float(drawn.high), len(known))


def compare(scores: Mapping[str, Floats], reference: str) -> tuple[Compared, ...]:
    """Each other arm of `scores` (arm -> (subjects,), paired) against `reference`; corrected as one family."""
    found = []
    for arm, values in scores.items():
        if arm == reference:
            continue
        differences = values - scores[reference]
        p, moved = _wilcoxon(differences), int(np.count_nonzero(np.nan_to_num(differences)))
        found.append(Compared(arm, reference, interval(differences), p, p, least_p(moved)))
    return corrected(found)


def corrected(compared: Sequence[Compared]) -> tuple[Compared, ...]:
    """The comparisons with Holm's correction over all of them together.

    p = 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06: times 3, 1, 2 in ascending order, none below the one before.
    """
    order = sorted((index for index, one in enumerate(compared) if not math.isnan(one.p)), key=lambda i: compared[i].p)
    held, least = list(compared), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, compared[index].p * (len(order) - place)))
        held[index] = replace(compared[index], corrected=least)
    return tuple(replace(one, least=min(1.0, one.least * len(order))) for one in held)


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p of the paired differences; 1 where all are 0, NaN where there are none."""
    from scipy import stats

    known = differences[~np.isnan(differences)]
    moved = known[known != 0]
    if len(moved) == 0:
        return 1.0 if len(known) else math.nan
    return float(stats.wilcoxon(moved).pvalue)


def least_p(subjects: int) -> float:
    """The smallest p that the test can give for so many subjects: all differences to one side."""
    return min(1.0, 2.0 ** (1 - subjects)) if subjects else math.nan
