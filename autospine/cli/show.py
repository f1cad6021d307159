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
from autospine.cli.size import format_size
from autospine.errors import AutospineError

if TYPE_CHECKING:
    from autospine.data.structure import Dataset
    from autospine.planning.document.compare import Difference
    from autospine.planning.document.decisions import Decision
    from autospine.planning.document.parts import ExpectedPlan
    from autospine.planning.document.plan import Configuration, Plan
    from autospine.planning.document.recipes import ShippedRecipe
    from autospine.workflow.check import Checked
    from autospine.workflow.describe import Description
    from autospine.workflow.progress import Update

SHOWN = (
    "spacing_mm",
    "median_shape",
    "patch",
    "batch",
    "normalisation",
    "presence.channels",
    "use_mask",
    "neighbours",
    "previous",
    "network.encoder",
    "network.features",
    "network.bottleneck",
    "regions.names",
    "loss.kind",
    "loss.class_weights",
    "loss.folds.weights",
    "loss.folds.largest",
    "loss.largest_size",
    "training.mirror_axes",
    "training.rotation_deg",
    "training.optimiser",
    "training.epochs",
    "training.budget_s",
)
"""Decisions of a configuration that the terminal shows; all of them are in plan.toml."""
CALLED = {
    "presence.channels": "may be missing",
    "regions.names": "regions",
    "loss.folds.weights": "weights by fold",
    "loss.folds.largest": "largest by fold",
}
"""What those of them are called whose keys say too little by themselves."""
LISTS = ("training.mirror_axes", "normalisation", "presence.channels", "regions.names")
"""Those of them that are no edges of anything."""
MOST_GRIDS = 6
"""Grids, and faults, that a description lists."""
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
    # a title is cut where it is too long, and the end of a path is what tells files apart
    fits = len(error.where) <= errors.width - 8
    body = escape(error.found) if fits else f"{escape(error.where)}\n{escape(error.found)}"
    if error.expected:
        body += f"\n[bold]Expected:[/bold] {escape(error.expected)}"
    if error.remedy:
        body += f"\n[bold]What to do:[/bold] {escape(error.remedy)}"
    errors.print(Panel(body, title=escape(error.where) if fits else None, title_align="left", border_style="red"))


def show_description(description: Description) -> None:
    """What a folder holds, a line each."""
    from autospine.data.layouts import layout_called

    dataset = description.dataset
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("dataset", escape(dataset.name))
    table.add_row("layout", escape(f"{dataset.layout}: {layout_called(dataset.layout).title}"))
    table.add_row("channels", escape(", ".join(_channel(dataset, index) for index in range(len(dataset.channels)))))
    for kind, one in description.datasets:
        listed = ", ".join(f"{label.name} = {label.value}" for label in one.labels) or "none: no case has a mask"
        table.add_row(f"labels of {escape(kind)}" if kind else "labels", escape(listed))
        for index, region in enumerate(one.regions):
            made = f"{region.name} = {' + '.join(map(str, region.values))}, written as {region.written}"
            table.add_row("" if index else "regions", escape(made))
    without = sum(case.label is None for case in dataset.cases)
    masks = "each with a mask" if not without else f"{without} of them without a mask"
    masks = "without masks" if without == len(dataset.cases) else masks
    subjects = len({case.subject for case in dataset.cases})
    table.add_row("cases", f"{len(dataset.cases)}, {masks}; {subjects} subject{'s' * (subjects != 1)}")
    for index, (grid, count) in enumerate(description.grids[:MOST_GRIDS]):
        table.add_row("" if index else "grids", f"{count} x {grid}")
    if len(description.grids) > MOST_GRIDS:
        table.add_row("", f"{len(description.grids) - MOST_GRIDS} others")
    for index, note in enumerate(dataset.notes):
        table.add_row("" if index else "notes", escape(note))
    for index, fault in enumerate(description.faults[:MOST_GRIDS]):
        table.add_row("" if index else "[red]faults[/red]", escape(fault))
    if description.picture is not None:
        table.add_row("picture", escape(str(description.picture)))
    console.print(table)
    if len(description.datasets) > 1:
        kinds = " or ".join(f"--masks {kind}" for kind, _ in description.datasets)
        console.print(f"The images have masks of several kinds: choose with {escape(kinds)}")
    if description.faults:
        console.print("Not everything can be read: `autospine check` lists all that is wrong")


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
    show_lines(checked.dataset.notes)
    warnings = len(checked.findings) - checked.errors
    console.print(f"{len(checked.dataset.cases)} cases: {checked.errors} error(s), {warnings} warning(s)")


def show_plan(plan: Plan) -> None:
    """The main decisions of each configuration with their reasons, what it takes, and what was left out."""
    names = [configuration.name for configuration in plan.configurations]
    for configuration in plan.configurations:
        name = configuration.name
        first = " (trained first)" if name == plan.default else ""
        table = Table(title=f"\n{plan.dataset}: {name}{first}", title_justify="left", box=SIMPLE, show_edge=False)
        table.add_column("decision", style="bold")
        table.add_column("value", max_width=32)
        table.add_column("why", ratio=1)
        for field in SHOWN:
            reason = plan.reasons.get(f"{name}.{field}")
            idle = field in ("neighbours", "previous") and not getattr(configuration, field)
            if reason is not None and not idle:
                table.add_row(escape(_readable(field)), escape(_value(plan, name, field)), escape(reason))
        console.print(table)
        if configuration.expected is not None:
            console.print(f"[bold]expected[/bold] {escape(_expected(configuration, configuration.expected))}")
    console.print()
    for key, reason in plan.reasons.items():
        start, _, rest = key.partition(".")
        if start == "left_out":
            console.print(f"[bold]left out[/bold] {escape(rest)}: {escape(reason)}")
        elif not any(key.startswith(f"{name}.") for name in names):
            value = getattr(plan, key, "")
            console.print(f"[bold]{escape(_readable(key))}[/bold] {escape(str(value))}: {escape(reason)}")


def _expected(configuration: Configuration, expected: ExpectedPlan) -> str:
    """`memory about 7.6 GB; 0.34 s a step on CPU, 2 cores; 4800 steps; about 28 min`, as far as it is known."""
    from autospine.planning.estimate.duration import spoken, training_seconds

    text = f"memory about {format_size(expected.memory_gb)}"
    if expected.seconds_per_step is not None:
        text += f"; {expected.seconds_per_step:.3g} s a step"
        text += f" on {expected.device}" if expected.device else ""
    steps = configuration.training.steps if configuration.training.budget_s is None else expected.steps
    text += f"; {steps} steps" if steps is not None else ""
    seconds = training_seconds(configuration)
    return text + (f"; about {spoken(seconds)}" if seconds is not None else "")


def show_decisions(found: Sequence[Decision]) -> None:
    """Key, value and reason: a table on a terminal, a line each elsewhere."""
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("key", style="bold")
    table.add_column("value", max_width=32)
    table.add_column("why", ratio=1)
    for decision in found:
        left_out = decision.value is None and decision.key.startswith("left_out.")
        value = "" if left_out else _written(decision.value)
        table.add_row(escape(decision.key), escape(value), escape(decision.reason))
        if not console.is_terminal:
            said = f"{decision.key} = {value}" if value else decision.key
            _line(f"{said}: {decision.reason}" if decision.reason else said)
    if console.is_terminal:
        console.print(table)


def show_differences(found: Sequence[Difference], plans: tuple[object, object]) -> None:
    """What two plans do not agree on: a table on a terminal, lines elsewhere."""
    if not found:
        _line("The plans are the same")
        return
    table = Table(box=SIMPLE, show_edge=False)
    table.add_column("key", style="bold")
    for name in plans:
        table.add_column(escape(str(name)), ratio=1)
    for difference in found:
        sides = ((difference.first, difference.first_reason), (difference.second, difference.second_reason))
        first, second = (f"{_written(value)} ({why})" if why else _written(value) for value, why in sides)
        table.add_row(escape(difference.key), escape(first), escape(second))
        if not console.is_terminal:
            _line(f"{difference.key}\n  {plans[0]}: {first}\n  {plans[1]}: {second}")
    if console.is_terminal:
        console.print(table)
    _line(f"{len(found)} difference(s)")


def show_recipes(recipes: Sequence[ShippedRecipe]) -> None:
    """Each recipe with its one line and what it changes against the default one."""
    for recipe in recipes:
        console.print(f"[bold]{escape(recipe.name)}[/bold]  {escape(recipe.summary)}", soft_wrap=True)
        for key, value in recipe.changes:
            _line(f"    {key} = {_written(value)}")
    _line("Use one with `autospine plan DATASET --recipe NAME`; `autospine recipes NAME` shows its file")


def show_lines(texts: Sequence[str]) -> None:
    """Each text on a line of its own, as it is."""
    for text in texts:
        _line(text)


def _line(text: str) -> None:
    """Print `text` as it is, however long: in a log or a pipe a line stays one."""
    console.print(text, markup=False, soft_wrap=True)


def _readable(field: str) -> str:
    """`training.mirror_axes` -> `mirror axes`, `loss.kind` -> `loss`."""
    if field in CALLED:
        return CALLED[field]
    return field.removesuffix(".kind").rpartition(".")[2].replace("_mm", " (mm)").replace("_", " ")


def _value(plan: Plan, name: str, field: str) -> str:
    """A decision as text; dotted fields lead into the parts of a configuration."""
    if field == "presence.channels":
        return ", ".join(plan.channels[index] for index in plan.configuration(name).optional_channels)
    value: object = plan.configuration(name)
    for part in field.split("."):
        value = getattr(value, part, "")
    return _text(value, ", " if field in LISTS else " x ")


def _text(value: object, between: str = " x ") -> str:
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple):
            return " / ".join(_text(part) for part in value)
        return between.join(_text(part) for part in value) if value else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def _written(value: object) -> str:
    """A value as it stands in plan.toml, texts without their quotes: what is shown can be found there and edited."""
    if isinstance(value, tuple):
        if value and isinstance(value[0], tuple) and isinstance(value[0][0], str):  # labels
            return ", ".join(f"{name} = {number}" for name, number in value)
        return f"[{', '.join(_written(part) for part in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else str(value)


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
