"""Plans: what was decided and why, what differs between two, and the recipes that one can start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from autospine.cli.quantities import format_size
from autospine.cli.terminal import console, show_line
from autospine.planning.document.decisions import LEFT_OUT

if TYPE_CHECKING:
    from autospine.planning.document.compare import Difference
    from autospine.planning.document.decisions import Decision
    from autospine.planning.document.expected import Estimated, Expected
    from autospine.planning.document.parts import TrainingPlan
    from autospine.planning.document.plan import Plan
    from autospine.planning.document.recipes import ShippedRecipe

DECISIONS_SHOWN = (
    *("spacing_mm", "median_shape", "patch", "batch", "normalisation", "presence.channels", "use_mask"),
    *("neighbours", "previous", "network.encoder", "network.features", "network.bottleneck", "regions.name"),
    *("loss.kind", "loss.class_weights", "loss.folds.weights", "loss.folds.largest", "loss.largest_size"),
    *("training.mirror_axes", "training.rotation_deg", "training.optimiser", "training.epochs", "training.budget_s"),
)
"""Decisions of a configuration that the terminal shows; all of them are in plan.toml."""
CALLED = {
    "presence.channels": "may be missing",
    "regions.name": "regions",
    "loss.folds.weights": "weights by fold",
    "loss.folds.largest": "largest by fold",
}
"""What those of them are called whose keys say too little by themselves."""
LISTS = ("training.mirror_axes", "normalisation")
"""Those of them that are no edges of anything."""


def show_plan(estimated: Estimated) -> None:
    """The main decisions of each configuration with their reasons, what it takes, and what was left out."""
    plan = estimated.plan
    for configuration in plan.configurations:
        name = configuration.name
        first = " (trained first)" if name == plan.default else ""
        table = _table("decision", title=f"\n{plan.data.dataset}: {name}{first}")
        for field in DECISIONS_SHOWN:
            reason = plan.reasons.get(f"{name}.{field}", plan.reasons.get(field))
            idle = field in ("neighbours", "previous") and not getattr(configuration, field)
            if reason is not None and not idle:
                table.add_row(escape(_readable(field)), escape(_value(plan, name, field)), escape(reason))
        console.print(table)
        console.print(f"[bold]expected[/bold] {escape(_expected(configuration.training, estimated.expected[name]))}")
    console.print()
    for key, reason in plan.reasons.items():
        start, _, rest = key.partition(".")
        if start == LEFT_OUT:
            console.print(f"[bold]left out[/bold] {escape(rest)}: {escape(reason)}")
        elif key in vars(plan):
            value = getattr(plan, key)
            console.print(f"[bold]{escape(_readable(key))}[/bold] {escape(str(value))}: {escape(reason)}")
    for what, told in _in_words(plan):
        console.print(f"[bold]{what}[/bold] {escape(told)}")


def _in_words(plan: Plan) -> Iterator[tuple[str, str]]:
    """What is done about levels, and about scanners that the training does not show."""
    name = plan.default
    training, levels = plan.configuration(name).training, plan.data.levels
    if levels is not None:
        lowest, highest = (plan.data.names[levels.classes[place] - 1] for place in (0, -1))
        told = f"{lowest} to {highest}, found whole and named together; what a view does not tell is said to be unknown"
        if training.narrow_view:
            share = f"{training.narrow_view:.0%} of the samples of {name}"
            told += f". {share} show a part of the column alone, so that the network learns when to doubt"
        yield "levels", told
    if training.random_contrast:
        why = plan.reasons.get(f"{name}.training.random_contrast")
        told = f"{training.random_contrast:.0%} of the samples get a random contrast"
        yield "other scanners", f"{told}: {why}" if why else told


def _expected(training: TrainingPlan, expected: Expected) -> str:
    """`memory about 7.6 GB; 0.34 s a step on CPU, 2 cores; 4800 steps; about 28 min`, as far as it is known."""
    from autospine.planning.estimate.duration import spoken, training_seconds

    text = f"memory about {format_size(expected.memory_gb)}"
    if expected.seconds_per_step is not None:
        text += f"; {expected.seconds_per_step:.3g} s a step"
        text += f" on {expected.device}" if expected.device else ""
    steps = training.steps if training.budget_s is None else expected.steps
    text += f"; {steps} steps" if steps is not None else ""
    seconds = training_seconds(training, expected)
    return text + (f"; about {spoken(seconds)}" if seconds is not None else "")


def _table(first: str, title: str | None = None) -> Table:
    """A table without rows: what is decided, its value, and why."""
    table = Table(title=title, title_justify="left", box=SIMPLE, show_edge=False)
    table.add_column(first, style="bold")
    table.add_column("value", max_width=32)
    table.add_column("why", ratio=1)
    return table


def show_decisions(found: Sequence[Decision]) -> None:
    """Key, value and reason: a table on a terminal, a line each elsewhere."""
    table = _table("key")
    for decision in found:
        left_out = decision.value is None and decision.key.startswith(f"{LEFT_OUT}.")
        value = "" if left_out else _written(decision.value)
        table.add_row(escape(decision.key), escape(value), escape(decision.reason))
        if not console.is_terminal:
            said = f"{decision.key} = {value}" if value else decision.key
            show_line(f"{said}: {decision.reason}" if decision.reason else said)
    if console.is_terminal:
        console.print(table)


def show_differences(found: Sequence[Difference], plans: tuple[object, object]) -> None:
    """What two plans do not agree on: a table on a terminal, lines elsewhere."""
    if not found:
        show_line("The plans are the same")
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
            show_line(f"{difference.key}\n  {plans[0]}: {first}\n  {plans[1]}: {second}")
    if console.is_terminal:
        console.print(table)
    show_line(f"{len(found)} difference(s)")


def show_recipes(recipes: Sequence[ShippedRecipe]) -> None:
    """Each recipe with its one line and what it changes against the default one."""
    for recipe in recipes:
        console.print(f"[bold]{escape(recipe.name)}[/bold]  {escape(recipe.summary)}", soft_wrap=True)
        for key, value in recipe.changes:
            show_line(f"    {key} = {_written(value)}")
    show_line("Use one with `autospine plan DATASET --recipe NAME`; `autospine recipes NAME` shows its file")


def _readable(field: str) -> str:
    """`training.mirror_axes` -> `mirror axes`, `loss.kind` -> `loss`."""
    if field in CALLED:
        return CALLED[field]
    return field.removesuffix(".kind").rpartition(".")[2].replace("_mm", " (mm)").replace("_", " ")


def _value(plan: Plan, name: str, field: str) -> str:
    """A decision as text; dotted fields lead into the parts of a configuration."""
    if field == "presence.channels":
        return ", ".join(plan.data.channels[index] for index in plan.data.optional)
    if field == "regions.name":
        return ", ".join(plan.data.targets)
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
