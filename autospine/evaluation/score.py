"""Scores of a set of cases, per case, per class and in the mean.

Cases are streamed: one prediction and one reference are in memory at a time. Label values are compared as
they are given, so on files they are the values on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.evaluation.lesions import LesionCounts, count_lesions, pooled
from autospine.evaluation.metrics import EMPTY_RULE, METRICS, ClassMetrics, class_metrics

Labels = tuple[tuple[str, int | tuple[int, ...]], ...]
"""(name, value, or the values of a region) of what is scored."""
ScoredCase = tuple[str, npt.NDArray[Any], npt.NDArray[Any], tuple[float, ...]]


@dataclass(frozen=True)
class CaseScores:
    """One case: its metrics per class, in the order of `Scores.classes`."""

    case: str
    metrics: tuple[ClassMetrics, ...]
    lesions: tuple[LesionCounts, ...] = ()
    """One per class, where they were counted."""


@dataclass(frozen=True)
class Scores:
    """Metrics of every case and class, and their means; NaN is left out of every mean."""

    classes: tuple[str, ...]
    cases: tuple[CaseScores, ...]
    """In the order they were scored."""
    notes: tuple[str, ...] = ()
    """What was scored although it may not be meant so."""

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

    def to_json(self) -> dict[str, Any]:
        """The content of metrics.json: rule, mean, classes, cases, lesions where counted, notes; NaN becomes None.

        `mean_values` has how many values, of a class in a case, are behind each mean.
        """
        content: dict[str, Any] = {
            "rule": EMPTY_RULE,
            "mean": {metric: _json_number(self.mean(metric)) for metric in METRICS},
            "mean_values": {metric: sum(self.class_cases(name, metric) for name in self.classes) for metric in METRICS},
            "classes": {
                name: {
                    **{metric: _json_number(self.class_mean(name, metric)) for metric in METRICS},
                    "cases": {metric: self.class_cases(name, metric) for metric in METRICS},
                }
                for name in self.classes
            },
            "cases": [self._case_json(case) for case in self.cases],
        }
        if self.notes:
            content["notes"] = list(self.notes)
        if any(case.lesions for case in self.cases):
            content["lesions"] = {
                name: pooled([case.lesions[index] for case in self.cases]).to_json()
                for index, name in enumerate(self.classes)
            }
        return content

    def _case_json(self, case: CaseScores) -> dict[str, Any]:
        """All numbers of a case: of each class, and of its lesions where they were counted."""
        numbers = [{key: _json_number(value) for key, value in vars(metrics).items()} for metrics in case.metrics]
        content = {"case": case.case, "classes": dict(zip(self.classes, numbers, strict=True))}
        if case.lesions:
            lesions = (counts.to_json() for counts in case.lesions)
            content["lesions"] = dict(zip(self.classes, lesions, strict=True))
        return content


def score_cases(
    cases: Iterable[ScoredCase], labels: Labels, ignored: int | None = None, *, lesions: bool = False
) -> Scores:
    """Scores of an iterable of (case, prediction (Z, Y, X), reference (Z, Y, X), spacing_mm), read one at a time.

    Args:
        cases: what to score; a generator keeps one case in memory.
        labels: (name, value in the arrays) of each class; of a region, its values.
        ignored: value in the references of voxels that are not annotated; they count for nothing.
        lesions: count the connected components of each class as lesions, too.
    """
    scored = []
    for name, predicted, reference, spacing_mm in cases:
        prediction = predicted if ignored is None else np.where(reference == ignored, 0, predicted)
        metrics = tuple(class_metrics(prediction, reference, value, spacing_mm) for _, value in labels)
        counts = (count_lesions(predicted, reference, value, spacing_mm, ignored) for _, value in labels if lesions)
        scored.append(CaseScores(name, metrics, tuple(counts)))
    return Scores(tuple(name for name, _ in labels), tuple(scored))


def mean_of_known(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _json_number(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value
