"""A study as a document: tables in Markdown and CSV, plots, and a sentence for each arm that says what it comes to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from autospine.data.disk.files import write_text
from autospine.data.disk.tables import write_table
from autospine.data.geometry import times
from autospine.evaluation.arm_scores import ArmScores, LesionTally, compare_classes
from autospine.evaluation.metrics import EMPTY_RULE, METRICS
from autospine.evaluation.paired import Compared, compare, interval, mean_over_classes
from autospine.report.canvas import new_figure, save_figure
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
    """Write `report.md`, `summary.csv`, `scores.csv` and the plots; the Markdown file's path.

    Raises:
        OutputError: the folder cannot be written.
    """
    _write_scores(folder / "scores.csv", report.scores)
    _write_summary(folder / "summary.csv", report)
    plots = []
    if len(report.scores.arms) > 1 and report.scores.subjects:
        _plot_differences(report, folder / "differences.png")
        plots.append("![Dice against the first arm, subject by subject](differences.png)")
        if len(report.scores.classes) > 1:
            _plot_sizes(report, folder / "sizes.png")
            plots.append("![Dice gained against the size of the class](sizes.png)")
    path = folder / "report.md"
    write_text(path, _markdown(report, plots))
    return path


def _markdown(report: StudyReport, plots: Sequence[str]) -> str:
    scores = report.scores
    folds = ", ".join(map(str, report.folds)) or "none yet"
    lines = [
        *(f"# {report.title}", "", report.question, ""),
        f"{scores.cases} cases of {len(scores.subjects)} subjects, each scored by the network of the fold that kept it "
        f"out (folds {folds}). One split for all arms, as many steps with masks, about as many voxels in each. "
        f"{report.hardware}.",
        "",
    ]
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
    lines += ["## Arms", "", *_arms(report.arms), "", "## Mean over classes", ""]
    means = {name: [interval(mean_over_classes(scores.of(name, key))) for key in COMPARED] for name in scores.arms}
    rows = [(name, *map(mean_cell, found, COMPARED)) for name, found in means.items()]
    lines += markdown_table(("arm", *COMPARED), rows)
    lines += ["", "In brackets the 95 % interval of the mean, bootstrap over subjects.", ""]
    lines += ["## By class", "", *_classes(report), ""]
    lines += [f"Voxels: median of a subject's, in the reference. {EMPTY_RULE} {RIGHTLY}", ""]
    lines += _lesions(report.lesions)
    lines += [*(f"- {note}" for note in report.notes), ""] if report.notes else []
    return "\n".join(lines).rstrip() + "\n"


def _arms(records: Sequence[ArmRecord]) -> list[str]:
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
    return markdown_table((*columns, "steps", "s a step"), rows)


def _classes(report: StudyReport) -> list[str]:
    """The means of each class and arm, and what the arm gains there."""
    scores, rows = report.scores, []
    for index, label in enumerate(scores.classes):
        for place, name in enumerate(scores.arms):
            means = (number(interval(scores.of(name, metric)[:, index]).mean, metric) for metric in COMPARED)
            compared = report.by_class.get((label, name))
            gain = ("", "") if compared is None else (gain_cell(compared.difference), p_value(compared.corrected))
            first = (label, _size(scores.class_size(index))) if place == 0 else ("", "")
            rows.append((*first, name, *means, *gain))
    return markdown_table(("class", "voxels", "arm", *COMPARED, "Dice gained", "p (Holm)"), rows)


def _lesions(tallies: Sequence[LesionTally]) -> list[str]:
    """The lesions of all cases together, class by class."""
    if not tallies:
        return []
    columns = ("class", "arm", "found", "missed", "false", "sensitivity", "precision")
    rows = [
        (one.label, one.arm, one.found, one.missed, one.false)
        + (number(one.sensitivity, "sensitivity"), number(one.precision, "precision"))
        for one in tallies
    ]
    said = "Found: at least a tenth of its voxels. Precision: share of the predicted components that are not false."
    return ["## Lesions", "", *markdown_table(columns, rows), "", said, ""]


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


def _plot_differences(report: StudyReport, path: Path) -> None:
    """Paired differences of the mean Dice: a point per subject, the mean and its interval, per arm."""
    overall = report.overall
    figure = new_figure(7.5, 1.4 + 0.7 * len(overall))
    axes = figure.subplots()
    base = mean_over_classes(report.scores.of(report.reference))
    for row, one in enumerate(overall):
        values = mean_over_classes(report.scores.of(one.arm)) - base
        values = np.sort(values[~np.isnan(values)])
        height = -row + 0.28 * np.where(np.arange(len(values)) % 2, 1, -1) * (np.arange(len(values)) % 5) / 5
        axes.plot(values, height, "o", markersize=4, alpha=0.6, color=f"C{row % 10}", markeredgewidth=0)
        axes.plot([one.difference.low, one.difference.high], [-row, -row], color="black", linewidth=2)
        axes.plot([one.difference.mean], [-row], "D", color="black", markersize=5)
    axes.axvline(0, color="grey", linewidth=1)
    axes.set_yticks([-row for row in range(len(overall))], [one.arm for one in overall])
    axes.set_ylim(-len(overall) + 0.4, 0.6)
    axes.set_xlabel(f"mean Dice of a subject, minus that of {report.reference}")
    axes.grid(alpha=0.3, axis="x")
    figure.suptitle("Points: subjects. Diamond and bar: their mean and its 95 % interval", fontsize=9)
    save_figure(figure, path)


def _plot_sizes(report: StudyReport, path: Path) -> None:
    """Dice gained in each class over its size."""
    scores = report.scores
    figure = new_figure(7.5, 4.2)
    axes = figure.subplots()
    sizes = {label: scores.class_size(index) for index, label in enumerate(scores.classes)}
    others = [arm for arm in scores.arms if arm != report.reference]
    known = [math.log(size) for size in sizes.values() if not math.isnan(size)]
    # arms of a class stand side by side, near enough to see that their size is one
    beside = 0.012 * max(max(known, default=0) - min(known, default=0), 0.3)
    for place, arm in enumerate(others):
        mine = [(sizes[label], one.difference) for (label, _), one in report.by_class.items() if one.arm == arm]
        found = [(size, gain) for size, gain in mine if gain.subjects]
        x = [size * math.exp(beside * (place - (len(others) - 1) / 2)) for size, _ in found]
        mean = [one.mean for _, one in found]
        spread = [[one.mean - one.low for _, one in found], [one.high - one.mean for _, one in found]]
        axes.errorbar(
            x, mean, np.nan_to_num(spread), fmt="o", markersize=4, capsize=2, color=f"C{place % 10}", label=arm
        )
    axes.axhline(0, color="grey", linewidth=1)
    axes.set_xscale("log")
    for label, size in sizes.items():
        if not math.isnan(size):
            axes.annotate(label, (size, 0), xycoords=("data", "axes fraction"), fontsize=7, rotation=90, va="bottom")
    axes.set_xlabel("voxels of the class in the reference, median over subjects")
    axes.set_ylabel(f"Dice minus that of {report.reference}")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    save_figure(figure, path)


def _size(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def _csv(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
