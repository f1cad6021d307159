"""`autospine plan` and `recipes`: what is decided, why, and what it starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import Budget, Device, ReadingOptions, Runs, check_length, grouped, reported
from autospine.cli.quantities import parse_size
from autospine.cli.streams import need_output


@grouped
@reported
def plan(
    dataset: Annotated[
        Path | None, typer.Argument(metavar="DATASET", help="Folder of images and masks; not with --diff.")
    ] = None,
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="With --explain: what to explain.")] = None,
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a recipe file.")] = "default",
    budget: Budget = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs instead of a time; the recipe's if not given.")
    ] = None,
    device: Device = "auto",
    memory: Annotated[
        float | None,
        typer.Option(
            parser=parse_size, metavar="SIZE", help="Memory to plan for, such as 8GB; the device's if not given."
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="PLAN",
            help="Move this plan to DATASET, for pretraining; without --recipe, --memory, --budget, --epochs.",
        ),
    ] = None,
    reading: ReadingOptions = ReadingOptions(),
    runs: Runs = Path("runs"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, write nothing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a plan that stands there.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why: all of the plan that stands, or KEY of it (2d, loss, 2d.patch).")
    ] = False,
    diff: Annotated[
        tuple[Path, Path] | None, typer.Option("--diff", metavar="A B", help="Compare two plans instead.")
    ] = None,
) -> None:
    """Read a dataset and decide everything, with reasons; or explain or compare plans that stand."""
    from autospine.cli.show.plans import show_decisions, show_differences, show_plan
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.planning.document.decisions import find_decisions
    from autospine.workflow.explain import compare_at, explained_plan
    from autospine.workflow.plan import PlanRequest, plan_dataset

    check_length(budget, epochs)
    request = PlanRequest(recipe, memory, budget, device, source, reading(), epochs)
    if diff is not None:
        if dataset is not None or explain or dry_run or overwrite or request != PlanRequest():
            raise typer.BadParameter("--diff compares two plans that stand: it takes no DATASET and no other option")
        need_output()
        show_differences(compare_at(*diff, runs), diff)
        return
    if dataset is None:
        raise typer.BadParameter("DATASET is missing; only --diff goes without one")
    if key is not None and not explain:
        raise typer.BadParameter(f"{key!r} is one argument too many: a KEY goes with --explain")
    if explain and not dry_run:
        if overwrite or request != PlanRequest():
            raise typer.BadParameter("--explain shows the plan that stands; with --dry-run it plans by these options")
        standing, notes = explained_plan(dataset, runs)
        need_output()
        show_decisions(find_decisions(standing, key))
        for note in notes:
            console.print(note, markup=False)
        return
    planned = plan_dataset(dataset, runs, request, dry_run=dry_run, overwrite=overwrite, progress=TerminalProgress())
    need_output(dry_run)
    if explain:
        show_decisions(find_decisions(planned, key))
    else:
        show_plan(planned)
    for note in planned.notes:
        console.print(note, markup=False)
    if planned.existed:
        console.print(f"{planned.folder.plan} stood there already and is shown as it is (--overwrite plans anew)")
    elif dry_run:
        console.print("Dry run: nothing was written")
    else:
        console.print(f"Written: {planned.folder.plan}. Next: autospine train {dataset} 0")


@reported
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this recipe's file.")] = None,
) -> None:
    """List the recipes that come with autospine, or show one."""
    from autospine.cli.show.plans import show_recipes
    from autospine.planning.document.recipes import recipe_text, shipped_recipes

    need_output()
    if name is None:
        show_recipes(shipped_recipes())
    else:
        typer.echo(recipe_text(name), nl=False)
