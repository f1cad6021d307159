"""A comparison: means and differences as a table, a sentence for each arm, and what is told of the cases."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from autospine.cli.terminal import console, show_line
from autospine.data.wording import plural
from autospine.evaluation.comparison import Comparison
from autospine.evaluation.paired import Compared, Floats
from autospine.report.comparison_document import carried_text
from autospine.report.wording import gain_cell, metric_name, number, p_value, unit_of, verdict

_DISPUTED = 6
"""Structures found by some and missed by others that the terminal names."""


def show_comparison(comparison: Comparison) -> None:
    """A row per class and one for their mean, the mean of each arm, what it gains on the first; then the verdicts."""
    metric, scores = comparison.metric, comparison.by_subject
    others = comparison.arms[1:]
    counted = plural(scores.cases, "case")
    counted += "" if len(scores.subjects) == scores.cases else f" of {plural(len(scores.subjects), 'subject')}"
    title = f"{metric_name(metric)}{unit_of(metric)} of {counted}"
    table = Table(title=title, title_justify="left")
    table.add_column("class", overflow="fold")
    for arm in comparison.arms:
        table.add_column(escape(arm), justify="right", overflow="fold")
    for arm in others:
        table.add_column(escape(f"{arm} - {comparison.first}"), justify="right", overflow="fold")
        table.add_column("p (Holm)", justify="right")
    for label in comparison.classes:
        means = (_mean(comparison.class_values(arm, label), metric) for arm in comparison.arms)
        table.add_row(escape(label), *means, *_gains([comparison.by_class[label, arm] for arm in others], metric))
    table.add_section()
    means = (number(comparison.mean(arm).mean, metric) for arm in comparison.arms)
    table.add_row("mean", *means, *_gains(comparison.overall, metric), style="bold")
    console.print(table)
    for one, carried in zip(comparison.overall, comparison.carried, strict=True):
        show_line(verdict(one, metric))
        if said := carried_text(carried, one, metric):
            show_line(f"  {said}")
    for dispute in comparison.disputed[:_DISPUTED]:
        what = "found by" if dispute.reference_voxels else "is not there, found by"
        show_line(
            f"{dispute.case}: {dispute.label} {what} {', '.join(dispute.finding)}, not by {', '.join(dispute.missing)}"
        )
    if len(comparison.disputed) > _DISPUTED:
        show_line(f"... and {len(comparison.disputed) - _DISPUTED} more structures that some find and others do not")
    if comparison.left_out:
        console.print(f"Left out, since some folder lacks them: {escape(', '.join(comparison.left_out))}")
    for note in comparison.notes:
        console.print(f"warning: {escape(note)}", style="yellow")


def _mean(values: Floats, metric: str) -> str:
    return number(float(values.mean()), metric) if len(values) else "-"


def _gains(compared: Sequence[Compared], metric: str) -> list[str]:
    """The difference of each arm from the first, and its p."""
    return [cell for one in compared for cell in (gain_cell(one.difference, metric), p_value(one.corrected))]
