"""What lies in a folder: a description of it, and everything that is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from autospine.cli.terminal import console, show_line

if TYPE_CHECKING:
    from autospine.data.structure import Dataset
    from autospine.workflow.check import Checked
    from autospine.workflow.describe import Description

MOST_GRIDS = 6
"""Grids, and faults, that a description lists."""


def show_description(description: Description) -> None:
    """What a folder holds, a line each."""
    from autospine.data.layouts import layout_called

    dataset = description.dataset
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("dataset", escape(dataset.name))
    table.add_row("layout", escape(f"{dataset.layout}: {layout_called(dataset.layout).title}"))
    table.add_row("channels", escape(", ".join(_channel(dataset, index) for index in range(len(dataset.channels)))))
    for kind, held in description.datasets:
        listed = ", ".join(f"{label.name} = {label.value}" for label in held.labels) or "none: no case has a mask"
        table.add_row(f"labels of {escape(kind)}" if kind else "labels", escape(listed))
        regions = ((one.name, " + ".join(map(str, one.values)), one.written) for one in held.regions)
        _add_rows(table, "regions", (f"{name} = {values}, written as {written}" for name, values, written in regions))
    without = sum(case.label is None for case in dataset.cases)
    masks = "each with a mask" if not without else f"{without} of them without a mask"
    masks = "without masks" if without == len(dataset.cases) else masks
    subjects = len({case.subject for case in dataset.cases})
    table.add_row("cases", f"{len(dataset.cases)}, {masks}; {subjects} subject{'s' * (subjects != 1)}")
    grids = [f"{count} x {grid}" for grid, count in description.grids]
    more = [f"{len(grids) - MOST_GRIDS} others"] if len(grids) > MOST_GRIDS else []
    _add_rows(table, "grids", [*grids[:MOST_GRIDS], *more])
    _add_rows(table, "notes", dataset.notes)
    _add_rows(table, "[red]faults[/red]", description.faults[:MOST_GRIDS])
    if description.picture is not None:
        table.add_row("picture", escape(str(description.picture)))
    console.print(table)
    if len(description.datasets) > 1:
        kinds = " or ".join(f"--masks {kind}" for kind, _ in description.datasets)
        console.print(f"The images have masks of several kinds: choose with {escape(kinds)}")
    if description.faults:
        console.print("Not everything can be read: `autospine check` lists all that is wrong")


def _add_rows(table: Table, name: str, texts: Iterable[str]) -> None:
    """A row for each text, the first called by `name`."""
    for index, text in enumerate(texts):
        table.add_row("" if index else name, escape(text))


def _channel(dataset: Dataset, index: int) -> str:
    """`0 T2`, and how many cases have it where some do not."""
    having = sum(index not in case.missing for case in dataset.cases)
    text = f"{index} {dataset.channels[index]}"
    return text if having == len(dataset.cases) else f"{text} (in {having} of {len(dataset.cases)} cases)"


def show_checked(checked: Checked) -> None:
    """Every problem of a dataset, errors first; then what was left aside, and how many there are."""
    for finding in sorted(checked.findings, key=lambda finding: finding.severity != "error"):
        colour = "red" if finding.severity == "error" else "yellow"
        console.print(f"[{colour}]{finding.severity}[/{colour}]{escape(str(finding).removeprefix(finding.severity))}")
    for note in checked.dataset.notes:
        show_line(note)
    warnings = len(checked.findings) - checked.errors
    console.print(f"{len(checked.dataset.cases)} cases: {checked.errors} error(s), {warnings} warning(s)")
