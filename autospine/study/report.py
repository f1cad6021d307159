"""A study as a document: tables in Markdown and CSV, plots, and a sentence for each arm that says what it comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from autospine.data.disk.files import write_text
from autospine.data.disk.tables import write_table
from autospine.data.geometry import times
from autospine.evaluation.arm_scores import ArmScores, LesionTally, compare_classes
from autospine.evaluation.metrics import EMPTY_RULE, METRICS
from autospine.evaluation.paired import Compared, compare, interval, mean_over_classes
from autospine.report.canvas import save_figure
from autospine.report.page.material import ClassGain, Comparison, PlainTable, StudyMaterial
from autospine.report.page.plots import differences_figure, sizes_figure
from autospine.report.page.study_file import write_study_file
from autospine.report.wording import gain_cell, markdown_table, mean_cell, number, p_value, verdict
from autospine.study.arms import Arm

RIGHTLY = "Where one arm finds a class that is not there, the arms that rightly find nothing count 1 beside its 0."
COMPARED = ("dice", "sensitivity", "specificity", "precision", "hd95_mm")
"""Metrics of the tables, in their order; the first is compared."""


@dataclass(frozen=True)
class ArmRecord:
    """An arm with what its trainings were found to take, for the table of arms."""

    arm: Arm
    parameters: int
    cases: int
    """With masks, that the arm can use."""
    seconds_per_step: float | None
    """Mean over the folds that were timed."""


@dataclass(frozen=True)
class StudyReport:
    """All that a report says."""

    title: str
    question: str
    arms: tuple[ArmRecord, ...]
    scores: ArmScores
    folds: tuple[int, ...]
    """That every arm has been trained on."""
    missing: tuple[str, ...]
    """Commands of what is not trained yet."""
    hardware: str
    notes: tuple[str, ...] = ()
    lesions: tuple[LesionTally, ...] = ()
    """Where they were counted."""

    @property
    def reference(self) -> str:
        """The arm that the others are compared with: the first."""
        return self.scores.arms[0]

    @cached_property
    def overall(self) -> tuple[Compared, ...]:
        """Each arm against the first in the mean Dice over classes."""
        return compare({arm: mean_over_classes(self.scores.of(arm)) for arm in self.scores.arms}, self.reference)

    @cached_property
    def by_class(self) -> dict[tuple[str, str], Compared]:
        """(class, arm) -> comparison with the first arm in that class, corrected as one family."""
        return compare_classes(self.scores, self.reference)


def write_study(report: StudyReport, folder: Path) -> Path:
    """Write `report.md`, `summary.csv`, `scores.csv`, `study.json` and the plots; the Markdown file's path.

    Raises:
        OutputError: the folder cannot be written.
    """
    _write_scores(folder / "scores.csv", report.scores)
    _write_summary(folder / "summary.csv", report)
    plots, comparisons = [], _comparisons(report)
    if comparisons and report.scores.subjects:
        save_figure(differences_figure(comparisons, "black", _cycled), folder / "differences.png")
        plots.append("![Dice against the first arm, subject by subject](differences.png)")
        if len(report.scores.classes) > 1:
            save_figure(sizes_figure(_gains(report), report.reference, "black", _cycled), folder / "sizes.png")
            plots.append("![Dice gained against the size of the class](sizes.png)")
    write_study_file(study_material(report), folder)
    path = folder / "report.md"
    write_text(path, _markdown(report, plots))
    return path


def _markdown(report: StudyReport, plots: Sequence[str]) -> str:
    scores = report.scores
    lines = [f"# {report.title}", "", report.question, "", _summary(report), ""]
    if report.missing:
        lines += ["**Not complete.** Still to be trained:", "", *(f"    {command}" for command in report.missing), ""]
    verdicts = [f"- {verdict(one)}" for one in report.overall] or ["- One arm: nothing to compare."]
    lines += ["## Result", "", *verdicts, ""]
    lines += [
        "Intervals and tests are over subjects. What another seed would change is in none of them: a difference of a "
        "few thousandths needs more than one seed to be believed.",
        "",
    ]
    lines += [*plots, ""] if plots else []
    lines += ["## Arms", "", *_table(_arms(report.arms)), "", "## Mean over classes", "", *_table(_means(scores))]
    lines += ["", "In brackets the 95 % interval of the mean, bootstrap over subjects.", ""]
    lines += ["## By class", "", *_table(_classes(report)), ""]
    lines += [f"Voxels: median of a subject's, in the reference. {EMPTY_RULE} {RIGHTLY}", ""]
    if report.lesions:
        said = "Found: at least a tenth of its voxels. Precision: share of the predicted components that are not false."
        lines += ["## Lesions", "", *_table(_lesions(report.lesions)), "", said, ""]
    lines += [*(f"- {note}" for note in report.notes), ""] if report.notes else []
    return "\n".join(lines).rstrip() + "\n"


def _table(table: PlainTable) -> list[str]:
    """A table in Markdown."""
    return markdown_table(table.columns, table.rows)


def _texts(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> PlainTable:
    """A table of texts."""
    return PlainTable(tuple(columns), tuple(tuple(map(str, row)) for row in rows))


def _summary(report: StudyReport) -> str:
    """What was compared, on what."""
    folds, scores = ", ".join(map(str, report.folds)) or "none yet", report.scores
    return (
        f"{scores.cases} cases of {len(scores.subjects)} subjects, each scored by the network of the fold that kept it "
        f"out (folds {folds}). One split for all arms, as many steps with masks, about as many voxels in each. "
        f"{report.hardware}."
    )


def _means(scores: ArmScores) -> PlainTable:
    """The mean of each arm over classes, with its interval."""
    means = {name: [interval(mean_over_classes(scores.of(name, key))) for key in COMPARED] for name in scores.arms}
    return _texts(("arm", *COMPARED), [(name, *map(mean_cell, found, COMPARED)) for name, found in means.items()])


def _arms(records: Sequence[ArmRecord]) -> PlainTable:
    """What each arm is and takes."""
    columns = ("arm", "what", "cases", "spacing mm", "patch", "batch", "voxels a step", "features", "weights")
    rows = []
    for record in records:
        arm, one = record.arm, record.arm.configuration
        spacing = " x ".join(f"{value:.3g}" for value in one.spacing_mm)
        size, steps = f"{record.parameters / 1e6:.2f} M", str(one.training.steps)
        steps = f"{steps} + {steps}" if arm.pretraining == "masked" else steps  # before, as many on images alone
        took = "-" if record.seconds_per_step is None else f"{record.seconds_per_step:.3g}"
        grid = (spacing, times(one.patch), one.batch, arm.voxels)
        rows.append((arm.name, arm.what, record.cases, *grid, one.network.features[0], size, steps, took))
    return _texts((*columns, "steps", "s a step"), rows)


def _classes(report: StudyReport) -> PlainTable:
    """The means of each class and arm, and what the arm gains there."""
    scores, rows = report.scores, []
    for index, label in enumerate(scores.classes):
        for place, name in enumerate(scores.arms):
            means = (number(interval(scores.of(name, metric)[:, index]).mean, metric) for metric in COMPARED)
            compared = report.by_class.get((label, name))
            gain = ("", "") if compared is None else (gain_cell(compared.difference), p_value(compared.corrected))
            first = (label, _size(scores.class_size(index))) if place == 0 else ("", "")
            rows.append((*first, name, *means, *gain))
    return _texts(("class", "voxels", "arm", *COMPARED, "Dice gained", "p (Holm)"), rows)


def _lesions(tallies: Sequence[LesionTally]) -> PlainTable:
    """The lesions of all cases together, class by class."""
    columns = ("class", "arm", "found", "missed", "false", "sensitivity", "precision")
    rows = [
        (one.label, one.arm, one.found, one.missed, one.false)
        + (number(one.sensitivity, "sensitivity"), number(one.precision, "precision"))
        for one in tallies
    ]
    return _texts(columns, rows)


def _write_scores(path: Path, scores: ArmScores) -> None:
    rows = []
    for arm, table in zip(scores.arms, scores.values, strict=True):
        for subject, of_subject, voxels in zip(scores.subjects, table, scores.voxels, strict=True):
            for label, values, size in zip(scores.classes, of_subject, voxels, strict=True):
                rows.append([arm, subject, label, *(_csv(value) for value in (size, *values))])
    write_table(path, ("arm", "subject", "class", "reference_voxels", *METRICS), rows)


def _write_summary(path: Path, report: StudyReport) -> None:
    scores = report.scores
    gains = ("gain", "gain_low", "gain_high", "p", "p_holm")
    rows = []
    known = {("mean", one.arm): one for one in report.overall} | report.by_class
    for arm in scores.arms:
        for metric in METRICS:
            values = scores.of(arm, metric)
            columns = {"mean": mean_over_classes(values)} | dict(zip(scores.classes, values.T, strict=True))
            for label, column in columns.items():
                found, one = interval(column), known.get((label, arm)) if metric == "dice" else None
                row = [arm, label, metric, str(found.subjects), *map(_csv, (found.mean, found.low, found.high))]
                if one is None:
                    rows.append([*row, *("" for _ in gains)])
                else:
                    gain = one.difference
                    rows.append([*row, *map(_csv, (gain.mean, gain.low, gain.high, one.p, one.corrected))])
    write_table(path, ("arm", "class", "metric", "subjects", "mean", "low", "high", *gains), rows)


def study_material(report: StudyReport) -> StudyMaterial:
    """What the page of the study says."""
    return StudyMaterial(
        title=report.title,
        question=report.question,
        summary=_summary(report),
        verdicts=tuple(verdict(one) for one in report.overall),
        missing=report.missing,
        arms=_arms(report.arms),
        means=_means(report.scores),
        classes=_classes(report),
        lesions=_lesions(report.lesions),
        comparisons=_comparisons(report),
        gains=_gains(report),
        notes=(f"Voxels: median of a subject's, in the reference. {EMPTY_RULE} {RIGHTLY}", *report.notes),
    )


def _comparisons(report: StudyReport) -> tuple[Comparison, ...]:
    """Each arm against the first, subject by subject."""
    scores, found = report.scores, []
    base = mean_over_classes(scores.of(report.reference))
    for one in report.overall:
        values = (mean_over_classes(scores.of(one.arm)) - base).tolist()
        known = [pair for pair in zip(scores.subjects, values, strict=True) if not math.isnan(pair[1])]
        differences = tuple(sorted(known, key=lambda pair: pair[1]))
        low, mean, high = map(_known, (one.difference.low, one.difference.mean, one.difference.high))
        found.append(Comparison(one.arm, one.reference, differences, mean, low, high, verdict(one)))
    return tuple(found)


def _gains(report: StudyReport) -> tuple[ClassGain, ...]:
    """What each arm gains in each class, class by class."""
    found = []
    for index, label in enumerate(report.scores.classes):
        voxels = _known(report.scores.class_size(index))
        for arm in report.scores.arms[1:]:
            gain = report.by_class[label, arm].difference
            low, mean, high = map(_known, (gain.low, gain.mean, gain.high))
            found.append(ClassGain(label, voxels, arm, mean, low, high, gain.subjects))
    return tuple(found)


def _cycled(place: int) -> str:
    """Colour of an arm, as matplotlib counts them."""
    return f"C{place % 10}"


def _known(value: float) -> float | None:
    """The value; None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value


def _size(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def _csv(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
