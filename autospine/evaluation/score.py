"""Scores of a set of cases, per case, per subject, per class and in the mean.

Cases are streamed: of each that is under way one prediction and one reference are in memory. Label values are compared
as they are given, so on files they are the values on disk.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.evaluation.intervals import MeanIntervals, mean_intervals
from autospine.evaluation.label_pair import LabelPair, Value
from autospine.evaluation.lesions import LesionCounts, lesions_of, pooled
from autospine.evaluation.levels import Chain, Vertebra, chains_named, count_levels, counted_kinds, levels_json
from autospine.evaluation.metrics import (
    DISTANCES,
    EMPTY_RULE,
    METRICS,
    TOLERANCE_MM,
    ClassMetrics,
    measure_class,
    pooled_slices,
)
from autospine.evaluation.metrics import mean_of_known as mean_of_known
from autospine.evaluation.subjects import subjects_named

Labels = tuple[tuple[str, Value], ...]
"""(name, value, or the values of a region) of what is scored."""
ScoredCase = tuple[str, npt.NDArray[Any], npt.NDArray[Any], tuple[float, ...]]
"""Case, prediction (Z, Y, X), reference (Z, Y, X), spacing_mm."""


@dataclass(frozen=True)
class Asked:
    """What is measured of each case."""

    labels: Labels
    ignored: int | None = None
    """Value in the references of voxels that are not annotated; they count for nothing."""
    lesions: bool = False
    """Whether the connected components of each class are counted as lesions, too."""
    distances: bool = True
    """Whether surfaces are measured; without them scores hold no `DISTANCES`."""
    tolerance_mm: float = TOLERANCE_MM
    """Distance up to which surfaces count as the same in the surface Dice."""
    chains: tuple[Chain, ...] | None = None
    """Labels that are levels of a column; None: those whose names say so."""
    unnamed: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Case -> levels of which its prediction says that they are not certain."""

    @cached_property
    def levels(self) -> tuple[Chain, ...]:
        """The chains of levels that are counted."""
        return chains_named(self.labels) if self.chains is None else self.chains


@dataclass(frozen=True)
class CaseScores:
    """One case: its metrics per class, in the order of `Scores.classes`."""

    case: str
    metrics: tuple[ClassMetrics, ...]
    lesions: tuple[LesionCounts, ...] = ()
    """One per class, where they were counted."""
    levels: tuple[Vertebra, ...] = ()
    """Vertebrae of the reference, and those that were predicted beside them."""
    annotated_voxels: int = 0
    """Of all classes and the background together."""
    is_slice: bool = False
    """Whether its file holds a single slice."""


@dataclass(frozen=True)
class Scores:
    """Metrics of every case and class, and their means; NaN is left out of every mean."""

    classes: tuple[str, ...]
    cases: tuple[CaseScores, ...]
    """In the order they were scored."""
    notes: tuple[str, ...] = ()
    """What was scored although it may not be meant so."""
    subjects: Mapping[str, str] | None = None
    """Case -> subject; None: as the cases' names say it."""
    chains: tuple[Chain, ...] = ()
    """Labels that are levels of a column."""
    distances: bool = True
    """Whether surfaces were measured."""
    tolerance_mm: float = TOLERANCE_MM
    """Distance up to which surfaces count as the same in the surface Dice."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of `METRICS` that were measured."""
        return tuple(metric for metric in METRICS if self.distances or metric not in DISTANCES)

    def class_mean(self, name: str, metric: str = "dice") -> float:
        """Mean of `metric` for class `name` over the cases that have it; NaN if none has."""
        return mean_of_known(self._column(name, metric))

    def class_cases(self, name: str, metric: str = "dice") -> int:
        """Cases that have a number for `metric` of class `name`; for `dice`, those that show it on either side."""
        return sum(not math.isnan(value) for value in self._column(name, metric))

    def _column(self, name: str, metric: str) -> list[float]:
        """`metric` of class `name`, a number for each case."""
        index = self.classes.index(name)
        return [float(getattr(case.metrics[index], metric)) for case in self.cases]

    def mean(self, metric: str = "dice") -> float:
        """Mean over the classes of the per-class means over cases; NaN if no class has one.

        A class counts once, however many cases show it: a rare class weighs as much as a common one.
        """
        return mean_of_known(self.class_mean(name, metric) for name in self.classes)

    def case_mean(self, case: CaseScores, metric: str = "dice") -> float:
        """Mean of `metric` over the classes of one case; NaN if it has none."""
        return mean_of_known(float(getattr(metrics, metric)) for metrics in case.metrics)

    @cached_property
    def by_subject(self) -> dict[str, tuple[CaseScores, ...]]:
        """Subject -> its cases, in the order in which they were scored."""
        known = self.subjects
        if known is None:
            known = subjects_named({case.case: case.is_slice for case in self.cases})
        found: dict[str, list[CaseScores]] = {}
        for case in self.cases:
            found.setdefault(known.get(case.case, case.case), []).append(case)
        return {subject: tuple(cases) for subject, cases in found.items()}

    def subject_metrics(self, subject: str) -> tuple[ClassMetrics, ...]:
        """Metrics per class of a subject: of all its slices together, of volumes the mean over them.

        Where its cases are volumes, its voxels are the sums of theirs.
        """
        cases = self.by_subject[subject]
        columns = [[case.metrics[index] for case in cases] for index in range(len(self.classes))]
        if all(case.is_slice for case in cases):
            return tuple(pooled_slices(column, [case.annotated_voxels for case in cases]) for column in columns)
        return tuple(_mean_metrics(column) for column in columns)

    @cached_property
    def intervals(self) -> MeanIntervals:
        """95 % intervals of the means of each class and, last, of the mean over the classes: over subjects."""
        values = np.array(
            [
                [[getattr(metrics, metric) for metric in self.metrics] for metrics in case.metrics]
                for case in self.cases
            ],
            dtype=np.float64,
        ).reshape(len(self.cases), len(self.classes), len(self.metrics))
        places = {case.case: place for place, case in enumerate(self.cases)}
        groups = [values[[places[case.case] for case in cases]] for cases in self.by_subject.values()]
        shape = (len(groups), *values.shape[1:])
        sums = np.array([np.nansum(group, axis=0) for group in groups]).reshape(shape)
        counts = np.array([np.count_nonzero(~np.isnan(group), axis=0) for group in groups], np.float64).reshape(shape)
        return mean_intervals(sums, counts)

    def to_json(self) -> dict[str, Any]:
        """The content of metrics.json, as docs/metrics.md has it; NaN becomes None.

        `mean_values` has how many values, of a class in a case, are behind each mean.
        """
        content: dict[str, Any] = {
            "rule": EMPTY_RULE,
            "tolerance_mm": self.tolerance_mm,
            "mean": {metric: _json_number(self.mean(metric)) for metric in self.metrics},
            "mean_values": {
                metric: sum(self.class_cases(name, metric) for name in self.classes) for metric in self.metrics
            },
            "intervals": self._intervals_json(),
            "classes": {
                name: {
                    **{metric: _json_number(self.class_mean(name, metric)) for metric in self.metrics},
                    "cases": {metric: self.class_cases(name, metric) for metric in self.metrics},
                }
                for name in self.classes
            },
            "cases": [self._case_json(case) for case in self.cases],
        }
        if not self.distances:
            del content["tolerance_mm"]
        if len(self.by_subject) < len(self.cases):
            content["subjects"] = self._subjects_json()
        if self.notes:
            content["notes"] = list(self.notes)
        if any(case.lesions for case in self.cases):
            content["lesions"] = {
                name: pooled([case.lesions[index] for case in self.cases]).to_json()
                for index, name in enumerate(self.classes)
            }
        if self.chains:
            content["levels"] = levels_json([(case.case, case.levels) for case in self.cases], self.chains)
        return content

    def _intervals_json(self) -> dict[str, Any]:
        """The ends of each interval, (low, high) by metric; None where there is none."""
        found = self.intervals
        rows = [
            {
                metric: None if math.isnan(low) else [float(low), float(high)]
                for metric, low, high in zip(self.metrics, lows, highs, strict=True)
            }
            for lows, highs in zip(found.low, found.high, strict=True)
        ]
        return {
            "level": 0.95,
            "subjects": len(self.by_subject),
            "mean": rows[-1],
            "classes": dict(zip(self.classes, rows[:-1], strict=True)),
        }

    def _case_json(self, case: CaseScores) -> dict[str, Any]:
        """All numbers of a case: of each class, of its lesions where they were counted, and of its levels."""
        content = {"case": case.case, "classes": self._classes_json(case.metrics)}
        if case.lesions:
            lesions = (counts.to_json() for counts in case.lesions)
            content["lesions"] = dict(zip(self.classes, lesions, strict=True))
        if self.chains:
            content["levels"] = counted_kinds(case.levels)
        return content

    def _subjects_json(self) -> dict[str, Any]:
        """The mean over the classes of the means over subjects, and all numbers of each subject, with its cases."""
        found, columns = [], []
        for subject, cases in self.by_subject.items():
            metrics = self.subject_metrics(subject)
            kind = "slices" if all(case.is_slice for case in cases) else "cases"
            named = [case.case for case in cases]
            found.append({"subject": subject, kind: named, "classes": self._classes_json(metrics)})
            columns.append(metrics)
        means = {
            metric: mean_of_known(
                mean_of_known(float(getattr(metrics[index], metric)) for metrics in columns)
                for index in range(len(self.classes))
            )
            for metric in self.metrics
        }
        return {"mean": {metric: _json_number(value) for metric, value in means.items()}, "subjects": found}

    def _classes_json(self, metrics: Sequence[ClassMetrics]) -> dict[str, Any]:
        """The numbers of each class; without surfaces no distances."""
        left_out = () if self.distances else DISTANCES
        tables = (
            {key: _json_number(value) for key, value in vars(one).items() if key not in left_out} for one in metrics
        )
        return dict(zip(self.classes, tables, strict=True))


def score_case(case: ScoredCase, asked: Asked, pair: LabelPair | None = None) -> CaseScores:
    """What is asked of one case; `pair` are its label maps where their classes have been found."""
    name, prediction, reference, spacing_mm = case
    pair = pair or LabelPair(prediction, reference, asked.ignored)
    metrics = tuple(
        measure_class(pair, value, spacing_mm, distances=asked.distances, tolerance_mm=asked.tolerance_mm)
        for _, value in asked.labels
    )
    counts = tuple(lesions_of(pair, value, spacing_mm) for _, value in asked.labels) if asked.lesions else ()
    levels = count_levels(pair, asked.levels, asked.unnamed.get(name, ()))
    return CaseScores(name, metrics, counts, levels, pair.annotated, len(pair.axes) < 3)


def scores_of(cases: Iterable[CaseScores], asked: Asked, subjects: Mapping[str, str] | None = None) -> Scores:
    """The scores of cases of which all has been measured; `subjects` as of `Scores`."""
    return Scores(
        tuple(name for name, _ in asked.labels),
        tuple(cases),
        subjects=subjects,
        chains=asked.levels,
        distances=asked.distances,
        tolerance_mm=asked.tolerance_mm,
    )


def score_cases(
    cases: Iterable[ScoredCase],
    labels: Labels,
    ignored: int | None = None,
    *,
    lesions: bool = False,
    distances: bool = True,
    tolerance_mm: float = TOLERANCE_MM,
    chains: tuple[Chain, ...] | None = None,
    subjects: Mapping[str, str] | None = None,
) -> Scores:
    """Scores of an iterable of (case, prediction (Z, Y, X), reference (Z, Y, X), spacing_mm), read one at a time.

    Args:
        cases: what to score; a generator keeps one case in memory.
        labels: (name, value in the arrays) of each class; of a region, its values.
        ignored: value in the references of voxels that are not annotated; they count for nothing.
        lesions: count the connected components of each class as lesions, too.
        distances: measure surfaces, too; overlaps alone are much faster.
        tolerance_mm: distance up to which surfaces count as the same in the surface Dice.
        chains: labels that are levels of a column; None: those whose names say so.
        subjects: case -> subject; None: as the cases' names say it.
    """
    asked = Asked(labels, ignored, lesions, distances, tolerance_mm, chains)
    return scores_of((score_case(case, asked) for case in cases), asked, subjects)


def _mean_metrics(metrics: Sequence[ClassMetrics]) -> ClassMetrics:
    """The mean of each metric over several cases, and the sums of their voxels."""
    means = {key: mean_of_known(float(getattr(one, key)) for one in metrics) for key in METRICS}
    return ClassMetrics(
        **means,
        reference_voxels=sum(one.reference_voxels for one in metrics),
        predicted_voxels=sum(one.predicted_voxels for one in metrics),
        shared_voxels=sum(one.shared_voxels for one in metrics),
    )


def _json_number(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value
