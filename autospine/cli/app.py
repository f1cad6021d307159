"""The command line: parse, call one function, show. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from autospine.cli.duration import format_duration, parse_duration
from autospine.cli.options import (
    AllowMissing,
    Budget,
    Channels,
    DatasetPath,
    Device,
    LayoutName,
    Masks,
    Runs,
    Subjects,
    Workers,
    reported,
)
from autospine.cli.size import parse_size
from autospine.cli.streams import need_output, steady_streams
from autospine.cli.study import study
from autospine.errors import OutputError
from autospine.training.interrupt import end_on_signals

app = typer.Typer(
    help="Segment spine MRI: a folder of scans with masks becomes a trained, measured model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(study, name="study")


@app.command()
@reported
def check(
    dataset: DatasetPath,
    subjects: Subjects = None,
    layout: LayoutName = None,
    masks: Masks = None,
    allow_missing: AllowMissing = False,
    channels: Channels = None,
) -> None:
    """List everything that is wrong with a dataset, before any work."""
    from autospine.cli.show import TerminalProgress, console, show_findings, show_lines
    from autospine.data.check import check_dataset
    from autospine.data.dataset import open_dataset
    from autospine.data.structure import Reading
    from autospine.workflow.progress import counted

    opened = open_dataset(dataset, Reading(subjects, layout, masks, allow_missing, channels))
    with TerminalProgress().task("Reading the dataset") as update:
        findings = check_dataset(opened, progress=counted(update))
    need_output()
    show_findings(findings)
    show_lines(opened.notes)
    problems = [finding for finding in findings if finding.severity == "error"]
    console.print(f"{len(opened.cases)} cases: {len(problems)} error(s), {len(findings) - len(problems)} warning(s)")
    if problems:
        raise typer.Exit(1)


@app.command()
@reported
def describe(
    dataset: DatasetPath,
    subjects: Subjects = None,
    layout: LayoutName = None,
    masks: Masks = None,
    allow_missing: AllowMissing = False,
    channels: Channels = None,
    runs: Runs = Path("runs"),
) -> None:
    """Say what was understood of a folder: layout, channels, labels, cases, subjects, and a picture of the first."""
    from autospine.cli.show import TerminalProgress, show_description
    from autospine.data.structure import Reading
    from autospine.workflow.describe import describe_dataset

    reading = Reading(subjects, layout, masks, allow_missing, channels)
    found = describe_dataset(dataset, runs, reading, progress=TerminalProgress())
    need_output()
    show_description(found)


@app.command()
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
    subjects: Subjects = None,
    layout: LayoutName = None,
    masks: Masks = None,
    allow_missing: AllowMissing = False,
    channels: Channels = None,
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
    from autospine.cli.show import TerminalProgress, console, show_decisions, show_differences, show_plan
    from autospine.data.structure import Reading
    from autospine.planning.document.decisions import find_decisions
    from autospine.workflow.explain import compare_at, explained_plan
    from autospine.workflow.plan import PlanRequest, plan_dataset

    reading = Reading(subjects, layout, masks, allow_missing, channels)
    if budget is not None and epochs is not None:
        raise typer.BadParameter("give --budget or --epochs, not both")
    request = PlanRequest(recipe, memory, budget, device, source, reading, epochs)
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
        show_decisions(find_decisions(planned.plan, key))
    else:
        show_plan(planned.plan)
    for note in planned.notes:
        console.print(note, markup=False)
    if planned.existed:
        console.print(f"{planned.folder.plan} stood there already and is shown as it is (--overwrite plans anew)")
    elif dry_run:
        console.print("Dry run: nothing was written")
    else:
        console.print(f"Written: {planned.folder.plan}. Next: autospine train {dataset} 0")


@app.command()
@reported
def recipes(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this recipe's file.")] = None,
) -> None:
    """List the recipes that come with autospine, or show one."""
    from autospine.cli.show import show_recipes
    from autospine.planning.document.recipes import recipe_text, shipped_recipes

    need_output()
    if name is None:
        show_recipes(shipped_recipes())
    else:
        typer.echo(recipe_text(name), nl=False)


@app.command()
@reported
def train(
    dataset: DatasetPath,
    fold: Annotated[str, typer.Argument(metavar="FOLD", help="0, 1, ... or all.")],
    configuration: Annotated[
        str | None, typer.Option("--configuration", "-c", help="2d, 3d_fullres, ...; the plan's default if not given.")
    ] = None,
    budget: Budget = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs instead of the plan's.")] = None,
    device: Device = "auto",
    workers: Workers = None,
    init: Annotated[
        Path | None, typer.Option(metavar="WEIGHTS", help="Start the encoder from a trained fold's weights.")
    ] = None,
    subjects: Subjects = None,
    layout: LayoutName = None,
    masks: Masks = None,
    allow_missing: AllowMissing = False,
    channels: Channels = None,
    runs: Runs = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an earlier training of the fold away.")] = False,
) -> None:
    """Train a fold, or go on with it; then predict and score its validation cases. Plans first where no plan is."""
    from autospine.cli.show import TerminalProgress, console, show_scores
    from autospine.data.structure import Reading
    from autospine.workflow.train import TrainRequest, train_folds

    if budget is not None and epochs is not None:
        raise typer.BadParameter("give --budget or --epochs, not both")
    reading = Reading(subjects, layout, masks, allow_missing, channels)
    request = TrainRequest(configuration, budget, epochs, device, workers, overwrite, reading, init)
    for trained in train_folds(dataset, fold, runs, request, progress=TerminalProgress()):
        if trained.metrics is not None:
            show_scores(trained.metrics)
        console.print(f"Written: {trained.folder}")


@app.command()
@reported
def pretrain(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES...", help="Datasets or folders of images; masks are not needed.")
    ],
    dataset: Annotated[
        Path | None,
        typer.Option("--for", metavar="DATASET", help="Whose planned network is pretrained; the first of IMAGES."),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(min=0, metavar="FOLD", help="The fold that is to start from it; any if not given."),
    ] = None,
    configuration: Annotated[
        str | None, typer.Option("--configuration", "-c", help="2d, 3d_fullres, ...; the plan's default if not given.")
    ] = None,
    budget: Budget = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs instead of the plan's.")] = None,
    device: Device = "auto",
    workers: Workers = None,
    runs: Runs = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an earlier pretraining away.")] = False,
) -> None:
    """Teach the planned network's encoder from images alone, or go on with it. Then: train --init."""
    from autospine.cli.show import TerminalProgress, console
    from autospine.workflow.pretrain import PretrainRequest, pretrain_images

    if budget is not None and epochs is not None:
        raise typer.BadParameter("give --budget or --epochs, not both")
    request = PretrainRequest(configuration, fold, budget, epochs, device, workers, overwrite)
    done = pretrain_images(images, dataset or images[0], runs, request, progress=TerminalProgress())
    console.print(f"Written: {done.folder}. Next: {done.next_command}", soft_wrap=True, markup=False, highlight=False)


@app.command()
@reported
def predict(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A file for one image, else a folder.")],
    model: Annotated[Path | None, typer.Option(help="Model folder; not needed where --runs holds one model.")] = None,
    folds: Annotated[str, typer.Option(help="Folds to average, such as 0,1; all: every trained one.")] = "all",
    device: Device = "auto",
    mirror: Annotated[bool, typer.Option(help="Average over the mirrorings that the plan allows.")] = True,
    overlap: Annotated[
        float | None, typer.Option(min=0.0, max=0.9, help="Overlap of tiles; the plan's if not given.")
    ] = None,
    runs: Runs = Path("runs"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what autospine made in OUT and nobody has changed since.")
    ] = False,
) -> None:
    """Segment images; the results lie on the images' own grids."""
    from autospine.cli.show import TerminalProgress, console
    from autospine.workflow.predict import PredictRequest, predict_paths

    chosen = None if folds == "all" else tuple(part.strip() for part in folds.split(","))
    request = PredictRequest(model, chosen, device, mirror, overlap, overwrite)
    done = predict_paths(source, target, runs, request, progress=TerminalProgress())
    total = sum(done.seconds)
    took = f", {total / len(done.seconds):.1f} s a case, {total / sum(done.slices):.2f} s a slice" if total else ""
    console.print(f"{len(done.files)} segmentation(s) in {target}{took}")


@app.command()
@reported
def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="Folder (or file) of segmentations.")],
    reference: Annotated[Path, typer.Argument(metavar="REF", help="Folder (or file) of reference masks.")],
    output: Annotated[Path | None, typer.Option(help="Where metrics.json goes; beside PRED if not given.")] = None,
    lesions: Annotated[bool, typer.Option("--lesions", help="Count lesions found, missed and false as well.")] = False,
) -> None:
    """Score segmentations against reference masks, per class and case."""
    from autospine.cli.show import TerminalProgress, console, show_scores
    from autospine.data.files import write_json
    from autospine.evaluation.folders import evaluate_folders
    from autospine.workflow.progress import counted

    with TerminalProgress().task("Scoring") as update:
        scores = evaluate_folders(prediction, reference, None, lesions=lesions, progress=counted(update))
    show_scores(scores.to_json())
    path = output or (prediction if prediction.is_dir() else prediction.parent) / "metrics.json"
    write_json(path, scores.to_json())
    console.print(f"Written: {path}")


@app.command()
@reported
def demo(
    folder: Annotated[Path, typer.Option(help="Where the phantom and everything made from it go.")] = Path("demo"),
    budget: Annotated[
        float, typer.Option(parser=parse_duration, metavar="TIME", help="Time that training may take.")
    ] = "150s",  # type: ignore[assignment]
    seed: Annotated[int, typer.Option(help="Another seed, another phantom.")] = 0,
    device: Device = "auto",
    scenario: Annotated[
        Literal["spine", "lumbar", "metastases", "tumour"], typer.Option(help="What is drawn and segmented.")
    ] = "spine",
) -> None:
    """Plan, train, predict and evaluate a synthetic spine, with every command shown."""
    from autospine.cli.show import TerminalProgress, console
    from autospine.phantom.demo import run_demo

    result = run_demo(folder, budget, seed, device, scenario, progress=TerminalProgress())
    console.print(
        f"Mean Dice {result.mean_dice:.3f} on {result.cases} held-out cases of a phantom (synthetic images, "
        f"not patients), in {format_duration(result.seconds)}. Picture: {result.picture}"
    )


def main() -> None:
    """Run the command line; what asks it to stop ends it as Ctrl-C does, and what shows its words cannot hurt it."""
    end_on_signals()
    steady_streams()
    try:
        try:
            app()
        finally:
            # an interrupt while a library compiles (a dataclass, a named tuple) has `python -m` end by SIGINT, whatever
            # the exit code, unless something else is compiled later
            exec("")
            if sys.stdout is not None:
                sys.stdout.flush()
    except OutputError as error:  # outside a command: the help, or the last words of one
        from autospine.cli.show import show_error

        show_error(error)
        raise SystemExit(1) from None
    except KeyboardInterrupt:  # before a command has begun
        typer.echo("Stopped.", err=True)
        raise SystemExit(130) from None
