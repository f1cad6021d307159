"""Scores: the mean of each class with its interval, levels that are wrong, and lesions where they were counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from autospine.cli.terminal import console

_HEADS = {
    "dice": "Dice",
    "precision": "prec.",
    "sensitivity": "sens.",
    "hd95_mm": "HD95 mm",
    "asd_mm": "ASD mm",
    "surface_dice": "surf. Dice",
    "volume_difference_mm3": "vol. mm3",
}
_IN_THE_FILE = ("iou", "specificity", "accuracy")
"""Metrics that metrics.json alone has: one follows from the Dice, two are close to 1 for any small structure."""
_MISTAKES = 12
"""Wrong levels that are named."""


def show_scores(content: Mapping[str, Any]) -> None:
    """The content of a metrics.json: mean of each class as a table, and the mean over the classes."""
    metrics = [metric for metric in content["mean"] if metric not in _IN_THE_FILE]
    intervals = content.get("intervals", {})
    table = Table(title="Mean over cases", title_justify="left")
    table.add_column("class", overflow="fold")  # a name that is cut may be that of another class
    for metric in metrics:
        table.add_column(_HEADS.get(metric, metric), justify="right", overflow="fold")
        if metric == "dice" and intervals:
            table.add_column("95 %", justify="right", no_wrap=True)
    classes = content["classes"]
    for name, values in classes.items():
        counts, ends = values.get("cases", {}), intervals.get("classes", {}).get(name, {})
        cells = []
        for metric in metrics:
            cells.append(_counted(metric, values.get(metric), counts.get(metric), counts.get("dice"), "cases"))
            cells += [_interval(ends.get(metric))] if metric == "dice" and intervals else []
        table.add_row(escape(name), *cells)
    table.add_section()
    held = {metric: sum(values.get("cases", {}).get(metric, 0) for values in classes.values()) for metric in metrics}
    cells = []
    for metric in metrics:
        cells.append(_counted(metric, content["mean"][metric], held[metric], held.get("dice"), "values"))
        cells += [_interval(intervals.get("mean", {}).get(metric))] if metric == "dice" and intervals else []
    table.add_row("mean", *cells, style="bold")
    if "subjects" in content:
        table.add_row(*_subjects(content["subjects"], metrics, bool(intervals)))
    console.print(table)
    if intervals:
        console.print(f"95 %: bootstrap over {intervals['subjects']} subject(s)", style="dim")
    if "levels" in content:
        _show_levels(content["levels"])
    if "lesions" in content:
        console.print(_lesions(content["lesions"]))
    console.print(escape(str(content.get("rule", ""))), style="dim")
    for note in content.get("notes", ()):
        console.print(f"warning: {escape(str(note))}", style="yellow")


def _subjects(content: Mapping[str, Any], metrics: list[str], intervals: bool) -> list[str]:
    """The cells of the mean over subjects."""
    cells = [f"mean of {len(content['subjects'])} subjects"]
    for metric in metrics:
        cells.append(_score(metric, content["mean"].get(metric)))
        cells += [""] if metric == "dice" and intervals else []
    return cells


def _show_levels(content: Mapping[str, Any]) -> None:
    """How many vertebrae have the right level, and which have not."""
    kinds = ("unknown",) * bool(content.get("unknown")) + ("mixed", "wrong", "missed")
    parts = [f"{content[kind]} {kind}" for kind in kinds]
    said = f"Levels: {content['right']} of {content['vertebrae']} right, {', '.join(parts)}"
    console.print(f"{said}; {content['extra']} predicted where the reference has none")
    mistakes = content["mistakes"]
    for one in mistakes[:_MISTAKES]:
        console.print(escape(f"  {one['case']}: {_mistake(one)}"))
    if len(mistakes) > _MISTAKES:
        console.print(f"  and {len(mistakes) - _MISTAKES} more, named in metrics.json")


def _mistake(one: Mapping[str, Any]) -> str:
    """`L4 is called L5`, for what is wrong with a level."""
    if one["kind"] in ("wrong", "mixed"):
        return f"{one['level']} is called {' and '.join(one['called'])}"
    return f"{one['level']} is missed" if one["kind"] == "missed" else f"{one['level']} is predicted where none is"


def _lesions(counts: Mapping[str, Any]) -> Table:
    """Lesions of each class: found of all, false ones, and found by diameter."""
    table = Table(title="Lesions of all cases", title_justify="left")
    table.add_column("class")
    sizes = next(iter(counts.values()))["by_diameter"]
    rates = ("sensitivity", "precision", "dice")
    for column in ("found", "false", *rates[:2], "Dice", *(f"found, {size}" for size in sizes)):
        table.add_column(column, justify="right")
    for name, one in counts.items():
        parts = [f"{size['found']}/{size['found'] + size['missed']}" for size in one["by_diameter"].values()]
        whole = f"{one['found']}/{one['found'] + one['missed']}"
        cells = (_score(rate, one.get(rate)) for rate in rates)
        table.add_row(escape(name), whole, str(one["false"]), *cells, *parts)
    return table


def _counted(metric: str, value: object, count: int | None, of: int | None, what: str) -> str:
    """`0.912`, or `0.912 (3 of 5 cases)` where a mean is over fewer than have a Dice; `-` for what has none at all.

    Of a mean over classes, values of classes in cases are counted.
    """
    fewer = count is not None and of is not None and count < of
    return f"{_score(metric, value)} ({count} of {of} {what})" if fewer else _score(metric, value)


def _interval(ends: object) -> str:
    """`0.88-0.94`; empty where there is none."""
    return f"{ends[0]:.2f}-{ends[1]:.2f}" if isinstance(ends, list) and len(ends) == 2 else ""


def _score(metric: str, value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:+.0f}" if metric == "volume_difference_mm3" else f"{value:.3f}"
