"""What the terminal shows: progress bars where there is a terminal, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table

from autospine.cli.duration import format_duration
from autospine.errors import AutospineError

if TYPE_CHECKING:
    from autospine.data.check import Finding
    from autospine.planning.plan import Plan
    from autospine.workflow.progress import Update

SHOWN = (
    "spacing_mm",
    "median_shape",
    "patch",
    "batch",
    "normalisation",
    "use_mask",
    "network.features",
    "network.bottleneck",
    "loss.kind",
    "loss.class_weights",
    "training.mirror_axes",
    "training.rotation_deg",
    "training.optimiser",
    "training.epochs",
    "training.budget_s",
)
"""Decisions of a configuration that the terminal shows; all of them are in plan.toml."""
LINE_EVERY_S = 20.0
"""Seconds between two lines of a task where no bar can be drawn."""

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class TerminalProgress:
    """Shows tasks as bars on a terminal and as lines in a log."""

    def note(self, text: str) -> None:
        """Print one line."""
        console.print(escape(text))

    @contextmanager
    def task(self, title: str) -> Iterator[Update]:
        """Show `title` with what is being done, the share done and the time left."""
        start = time.monotonic()
        left = TimeLeft()
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[left]}"),
            )
            with Progress(*columns, TextColumn("{task.fields[doing]}"), console=console) as bar:
                task = bar.add_task(escape(title), total=1.0, doing="", left="")

                def draw(doing: str, share: float) -> None:
                    bar.update(task, completed=share, doing=escape(doing), left=left(share))

                yield draw
        else:
            console.print(escape(title))
            shown = start

            def write(doing: str, share: float) -> None:
                nonlocal shown
                if time.monotonic() - shown >= LINE_EVERY_S:
                    shown = time.monotonic()
                    console.print(f"  {share:4.0%}  {escape(doing)}  {left(share)}")

            yield write
            console.print(f"  done in {format_duration(time.monotonic() - start)}")


class TimeLeft:
    """Time left by what was done since the first look: a resumed task begins with a share that cost nothing now."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._first: tuple[float, float] | None = None

    def __call__(self, share: float) -> str:
        """`12 min 30 s left`, or nothing where it cannot be told."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, share)
        elapsed, done = now - self._first[0], share - self._first[1]
        return f"{format_duration(elapsed * (1 - share) / done)} left" if done > 0 and share < 1 else ""


def show_error(error: AutospineError) -> None:
    """One panel: where, what was found, what was expected, what to do."""
    body = escape(error.found)
    if error.expected:
        body += f"\n[bold]Expected:[/bold] {escape(error.expected)}"
    if error.remedy:
        body += f"\n[bold]What to do:[/bold] {escape(error.remedy)}"
    errors.print(Panel(body, title=escape(error.where), title_align="left", border_style="red"))


def show_findings(findings: Sequence[Finding]) -> None:
    """Every problem of a dataset, errors first."""
    for finding in sorted(findings, key=lambda finding: finding.severity != "error"):
        colour = "red" if finding.severity == "error" else "yellow"
        console.print(f"[{colour}]{finding.severity}[/{colour}]  {escape(str(finding))}")


def show_plan(plan: Plan) -> None:
    """The main decisions of each configuration, with their reasons."""
    names = [configuration.name for configuration in plan.configurations]
    for name in names:
        first = " (trained first)" if name == plan.default else ""
        table = Table(title=f"\n{plan.dataset}: {name}{first}", title_justify="left", box=SIMPLE, show_edge=False)
        table.add_column("decision", style="bold")
        table.add_column("value", max_width=32)
        table.add_column("why", ratio=1)
        for field in SHOWN:
            reason = plan.reasons.get(f"{name}.{field}")
            if reason is not None:
                table.add_row(escape(_readable(field)), escape(_value(plan, name, field)), escape(reason))
        console.print(table)
    for key, reason in plan.reasons.items():
        if key.partition(".")[0] not in names:
            value = getattr(plan, key, "")
            console.print(f"[bold]{escape(_readable(key))}[/bold] {escape(str(value))}: {escape(reason)}")


def _readable(field: str) -> str:
    """`training.mirror_axes` -> `mirror axes`."""
    return field.rpartition(".")[2].replace("_mm", " (mm)").replace("_", " ")


def _value(plan: Plan, name: str, field: str) -> str:
    """A decision as text; dotted fields lead into the parts of a configuration."""
    value: object = plan.configuration(name)
    for part in field.split("."):
        value = getattr(value, part, "")
    return _text(value)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            return " / ".join(_text(part) for part in value)
        return " x ".join(_text(part) for part in value) if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def show_scores(content: Mapping[str, Any]) -> None:
    """The content of a metrics.json: mean of each class as a table, and the mean over the classes."""
    metrics = list(content["mean"])
    table = Table(title="Mean over cases", title_justify="left")
    table.add_column("class")
    for metric in metrics:
        table.add_column(metric, justify="right")
    for name, values in content["classes"].items():
        table.add_row(escape(name), *(_score(values.get(metric)) for metric in metrics))
    table.add_section()
    table.add_row("mean", *(_score(content["mean"][metric]) for metric in metrics), style="bold")
    console.print(table)
    console.print(escape(str(content.get("rule", ""))), style="dim")


def _score(value: object) -> str:
    return "-" if not isinstance(value, int | float) else f"{value:.3f}"
