"""Scores: the mean of each class, and lesions where they were counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from autospine.cli.terminal import console


def show_scores(content: Mapping[str, Any]) -> None:
    """The content of a metrics.json: mean of each class as a table, and the mean over the classes."""
    metrics = list(content["mean"])
    table = Table(title="Mean over cases", title_justify="left")
    table.add_column("class", overflow="fold")  # a name that is cut may be that of another class
    for metric in metrics:
        table.add_column(metric, justify="right", overflow="fold")
    classes = content["classes"]
    for name, values in classes.items():
        counts = values.get("cases", {})
        cells = (_counted(values.get(metric), counts.get(metric), counts.get("dice"), "cases") for metric in metrics)
        table.add_row(escape(name), *cells)
    table.add_section()
    held = {metric: sum(values.get("cases", {}).get(metric, 0) for values in classes.values()) for metric in metrics}
    means = (_counted(content["mean"][metric], held[metric], held.get("dice"), "values") for metric in metrics)
    table.add_row("mean", *means, style="bold")
    console.print(table)
    if "lesions" in content:
        console.print(_lesions(content["lesions"]))
    console.print(escape(str(content.get("rule", ""))), style="dim")
    for note in content.get("notes", ()):
        console.print(f"warning: {escape(str(note))}", style="yellow")


def _lesions(counts: Mapping[str, Any]) -> Table:
    """Lesions of each class: found of all, false ones, and found by diameter."""
    table = Table(title="Lesions of all cases", title_justify="left")
    table.add_column("class")
    sizes = next(iter(counts.values()))["by_diameter"]
    for column in ("found", "false", "sensitivity", "precision", *(f"found, {size}" for size in sizes)):
        table.add_column(column, justify="right")
    for name, one in counts.items():
        parts = [f"{size['found']}/{size['found'] + size['missed']}" for size in one["by_diameter"].values()]
        whole = f"{one['found']}/{one['found'] + one['missed']}"
        rates = (_score(one["sensitivity"]), _score(one["precision"]))
        table.add_row(escape(name), whole, str(one["false"]), *rates, *parts)
    return table


def _counted(value: object, count: int | None, of: int | None, what: str) -> str:
    """`0.912`, or `0.912 (3 of 5 cases)` where a mean is over fewer than have a Dice; `-` for what has none at all.

    Of a mean over classes, values of classes in cases are counted.
    """
    fewer = count is not None and of is not None and count < of
    return f"{_score(value)} ({count} of {of} {what})" if fewer else _score(value)


def _score(value: object) -> str:
    return "-" if not isinstance(value, int | float) else f"{value:.3f}"
