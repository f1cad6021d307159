"""The scores of one or several folds together: every case once, with the means and intervals that a reader asks for.

They are those of `metrics.json`, of this version or an earlier one: metrics that a file lacks are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from autospine.evaluation.intervals import MeanIntervals, mean_intervals
from autospine.evaluation.paired import Interval
from autospine.evaluation.score import mean_of_known

TITLES = {
    "dice": ("Dice", "Overlap with the reference: 1 is the same, 0 nothing in common"),
    "iou": ("IoU", "Intersection over union"),
    "precision": ("Precision", "Share of the predicted voxels that are right"),
    "sensitivity": ("Sensitivity", "Share of the reference's voxels that were found"),
    "specificity": ("Specificity", "Share of the voxels outside that were left alone"),
    "accuracy": ("Accuracy", "Share of all voxels that are right"),
    "hd95_mm": ("HD95 mm", "Distance within which 95 % of the outlines lie of each other"),
    "asd_mm": ("ASD mm", "Mean distance of the outlines"),
    "surface_dice": ("Surface Dice", "Share of the outlines that lie within the tolerance"),
    "volume_difference_mm3": ("Vol. diff. mm³", "Predicted volume minus that of the reference"),
}
"""Metrics with what a reader calls them and what they say."""
_COUNTS = "_voxels"
"""End of the names of what is counted, and no metric."""


@dataclass(frozen=True)
class ScoredCase:
    """A case with its figures."""

    case: str
    subject: str
    fold: str
    """Of the network that predicted it; empty outside of folds."""
    figures: Mapping[str, Mapping[str, float]]
    """Structure -> metric -> number; what is not known is left out."""

    def dice(self, structure: str) -> float:
        """Of one structure; NaN where it has none."""
        return self.figures.get(structure, {}).get("dice", math.nan)

    @property
    def mean(self) -> float:
        """Mean Dice over the structures; NaN where none has one."""
        return mean_of_known(self.dice(structure) for structure in self.figures)


@dataclass(frozen=True)
class Scoreboard:
    """All cases that were scored."""

    structures: tuple[str, ...]
    cases: tuple[ScoredCase, ...]
    rule: str = ""
    """What becomes of structures that are missing."""
    notes: tuple[str, ...] = ()
    levels: tuple[Mapping[str, Any], ...] = ()
    """What each file says of the levels of vertebrae, where it counts them."""
    lesions: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of lesions, where there is but one, and it counts them."""

    @staticmethod
    def of(contents: Mapping[str, Mapping[str, Any]], subjects: Mapping[str, str] | None = None) -> Scoreboard:
        """Of the `contents` of metrics.json files, by the name of the fold; `subjects`: case -> who was imaged.

        Else who was imaged is what the file says where a subject has several cases.
        """
        structures: dict[str, None] = {}
        cases: dict[str, ScoredCase] = {}
        notes: dict[str, None] = {}
        rule = ""
        for fold, content in contents.items():
            rule = rule or str(content.get("rule", ""))
            known = {**_subjects(content), **(subjects or {})}
            structures |= dict.fromkeys(map(str, content.get("classes", {})))
            notes |= dict.fromkeys(map(str, content.get("notes", ())))
            for one in content.get("cases", ()):
                name = str(one["case"])
                figures = {str(key): _numbers(held) for key, held in one["classes"].items()}
                cases[name] = ScoredCase(name, known.get(name, name), fold, figures)
        ordered = tuple(cases[name] for name in sorted(cases))
        levels = [content["levels"] for content in contents.values() if isinstance(content.get("levels"), dict)]
        lesions = [content["lesions"] for content in contents.values() if isinstance(content.get("lesions"), dict)]
        alone = lesions[0] if lesions and len(contents) == 1 else {}
        return Scoreboard(tuple(structures), ordered, rule, tuple(notes), tuple(levels), alone)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Those that any case has, in the order of `TITLES`, then others."""
        held = {
            name: None
            for case in self.cases
            for figures in case.figures.values()
            for name in figures
            if not name.endswith(_COUNTS)
        }
        return (*(name for name in TITLES if name in held), *(name for name in held if name not in TITLES))

    @cached_property
    def subjects(self) -> int:
        """People, or animals, that were imaged."""
        return len({case.subject for case in self.cases})

    def values(self, structure: str, metric: str = "dice") -> list[float]:
        """Of each case in order; NaN where it has none."""
        return [case.figures.get(structure, {}).get(metric, math.nan) for case in self.cases]

    def structure_mean(self, structure: str, metric: str = "dice") -> float:
        """Over the cases that have a number; NaN where none has."""
        return mean_of_known(self.values(structure, metric))

    def mean(self, metric: str = "dice") -> float:
        """Mean over the structures of their means over cases, as `metrics.json` has it."""
        return mean_of_known(self.structure_mean(structure, metric) for structure in self.structures)

    def structure_interval(self, structure: str) -> Interval:
        """Of the mean Dice of one structure over its cases: what it could be with other subjects."""
        place = self.structures.index(structure)
        return self._interval(place, self.structure_mean(structure), (structure,))

    @cached_property
    def overall(self) -> Interval:
        """The same of `mean`."""
        return self._interval(-1, self.mean(), self.structures)

    def _interval(self, place: int, mean: float, structures: Sequence[str]) -> Interval:
        """The interval at a place of `_intervals`, of the subjects that have any of the structures."""
        known = {case.subject for case in self.cases if not all(math.isnan(case.dice(name)) for name in structures)}
        found = self._intervals
        return Interval(mean, float(found.low[place, 0]), float(found.high[place, 0]), len(known))

    @cached_property
    def _intervals(self) -> MeanIntervals:
        """Of the Dice of each structure and, last, of their mean, as `metrics.json` has them of a single file."""
        subjects = sorted({case.subject for case in self.cases})
        sums = np.zeros((len(subjects), len(self.structures), 1))
        counts = np.zeros_like(sums)
        for case in self.cases:
            dice = np.array([case.dice(name) for name in self.structures])
            row = subjects.index(case.subject)
            sums[row, :, 0] += np.nan_to_num(dice)
            counts[row, :, 0] += ~np.isnan(dice)
        return mean_intervals(sums, counts)

    @cached_property
    def worst_structure(self) -> str | None:
        """That of the lowest mean Dice, where there are several."""
        known = [one for one in self.structures if not math.isnan(self.structure_mean(one))]
        return min(known, key=self.structure_mean) if len(known) > 1 else None

    @cached_property
    def ranked(self) -> tuple[ScoredCase, ...]:
        """Cases with a Dice, the worst first."""
        return tuple(sorted((case for case in self.cases if not math.isnan(case.mean)), key=lambda case: case.mean))


def title_of(metric: str) -> tuple[str, str]:
    """What a metric is called, and what it says."""
    return TITLES.get(metric, (metric, ""))


def number(value: float | None, metric: str = "dice") -> str:
    """A figure as it is shown; `–` where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if metric.endswith("_mm3"):
        return f"{value:+.0f}"
    if metric.endswith("_mm"):
        return f"{value:.2f}"
    return f"{value:.4f}" if metric in ("specificity", "accuracy") else f"{value:.3f}"


def span(found: Interval) -> str:
    """`95 % interval 0.87 to 0.91`, or why there is none."""
    if math.isnan(found.low):
        return "one subject: no interval" if found.subjects == 1 else ""
    return f"95 % interval {found.low:.3f} to {found.high:.3f}"


def _subjects(content: Mapping[str, Any]) -> dict[str, str]:
    """Case -> subject, of subjects with several cases or slices, as a metrics.json names them."""
    held = content.get("subjects")
    rows = held.get("subjects", ()) if isinstance(held, dict) else ()
    return {str(case): str(row["subject"]) for row in rows for key in ("cases", "slices") for case in row.get(key, ())}


def _numbers(held: Mapping[str, Any]) -> dict[str, float]:
    """What of a table are finite numbers."""
    known = {key: value for key, value in held.items() if isinstance(value, int | float) and math.isfinite(value)}
    return {str(key): float(value) for key, value in known.items() if not isinstance(value, bool)}
