"""`autospine study ...`: each paper's experiment on the user's own data."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autospine.cli.options import Budget, DatasetPath, Device, ReadingOptions, Runs, Track, Workers, grouped, reported
from autospine.cli.quantities import parse_folds
from autospine.cli.streams import need_output

if TYPE_CHECKING:
    from autospine.study.arms import StudyKind

study = typer.Typer(
    help="Compare ways to train on one split: each arm and fold is a training of its own, resumable and shareable.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Configuration = Annotated[
    str | None, typer.Option("--configuration", "-c", help="What is varied; the plan's default if not given.")
]


@dataclass(frozen=True)
class Shared:
    """Options of every study."""

    folds: Annotated[str, typer.Option(help="Folds to train each arm on, such as 0,1,2, or all.")] = "all"
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of each training; the plan's if not given.")] = None
    budget: Budget = None
    device: Device = "auto"
    workers: Workers = None
    reading: ReadingOptions = ReadingOptions()
    name: Annotated[str | None, typer.Option(help="Folder of the study, where there are several of a kind.")] = None
    only: Annotated[
        str | None, typer.Option(metavar="ARM:FOLD", help="Train this arm and fold alone; with --overwrite anew.")
    ] = None
    commands: Annotated[
        bool, typer.Option("--commands", help="Print a command for each training that is missing, and train none.")
    ] = False
    runs: Runs = Path("runs")
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace arms of another plan, split or number of steps.")
    ] = False
    track: Track = None


@study.command()
@grouped
@reported
def ablation(
    dataset: DatasetPath,
    arms: Annotated[str, typer.Option(help="Arms, the first to compare with.")] = "base,control,msff,sace,msff+sace",
    configuration: Configuration = None,
    *,
    shared: Shared,
) -> None:
    """What MSFF (msff) and the size-adaptive loss (sace) are worth.

    control has as many weights as MSFF at one scale; reseeded is another seed.
    """
    _run("ablation", dataset, arms, configuration, shared)


@study.command()
@grouped
@reported
def sequences(
    dataset: DatasetPath,
    inputs: Annotated[
        str | None, typer.Option(help="Channels of each arm, such as T1,T2,T1+T2; each and all if not given.")
    ] = None,
    configuration: Configuration = None,
    *,
    shared: Shared,
) -> None:
    """Which channels serve, alone and together."""
    _run("sequences", dataset, inputs, configuration, shared)


@study.command()
@grouped
@reported
def dimensions(
    dataset: DatasetPath,
    dims: Annotated[
        str | None,
        typer.Option(help="Configurations such as 2d,2.5d,3d (3d is 3d_fullres); those that are planned if not given."),
    ] = None,
    *,
    shared: Shared,
) -> None:
    """Slices, slices beside their neighbours, or volumes."""
    _run("dimensions", dataset, dims, None, shared)


@study.command()
@grouped
@reported
def patches(
    dataset: DatasetPath,
    sizes: Annotated[
        str | None,
        typer.Option(help="Edges in voxels of the finest axis, such as 64,96,128; from the plan's if not given."),
    ] = None,
    pretrain: Annotated[str, typer.Option(help="What each starts from: none, masked, or none,masked.")] = "none",
    configuration: Configuration = None,
    *,
    shared: Shared,
) -> None:
    """Which patch serves, from scratch and pretrained on masked patches."""
    _run("patches", dataset, sizes, configuration, shared, pretrain)


def _run(
    kind: StudyKind, dataset: Path, arms: str | None, configuration: str | None, shared: Shared, pretrain: str = "none"
) -> None:
    """Parse what was typed, run the study, show how it came out."""
    from autospine.cli.terminal import TerminalProgress, console, show_line
    from autospine.data.structure import split_names
    from autospine.study.arms import PRETRAININGS
    from autospine.study.run import StudyRequest, only_command, run_study
    from autospine.workflow.train import TrainRequest

    starts = split_names(pretrain)
    if not starts or not set(starts) <= set(PRETRAININGS):
        raise typer.BadParameter(f"--pretrain {pretrain}: give {', '.join(PRETRAININGS)}, or several of them")
    if arms is not None and not split_names(arms):
        raise typer.BadParameter(f"{arms!r} names no arm")
    request = StudyRequest(
        kind=kind,
        arms=split_names(arms or ""),
        configuration=configuration,
        folds=parse_folds(shared.folds),
        steps=shared.steps,
        pretraining=tuple(start for start in PRETRAININGS if start in starts),
        name=shared.name,
        only=None if shared.only is None else _arm_and_fold(shared.only),
        overwrite=shared.overwrite,
        train=TrainRequest(
            budget_s=shared.budget,
            device=shared.device,
            workers=shared.workers,
            reading=shared.reading(),
            track=tuple(shared.track or ()),
        ),
    )
    typed = f"autospine {shlex.join(word for word in sys.argv[1:] if word not in ('--commands', '--overwrite'))}"
    progress = TerminalProgress()
    done = run_study(dataset, shared.runs, request, list_only=shared.commands, command=typed, progress=progress)
    if shared.commands:
        need_output()
        for arm, fold in done.missing:
            typer.echo(only_command(typed, arm, fold))
    elif done.report is not None:
        for verdict in done.verdicts:
            show_line(verdict)
        console.print(f"Written: {done.report}")
    elif shared.only is not None:
        left = f"{len(done.missing)} training(s) are left" if done.missing else "all trainings are done"
        console.print(f"{left}; the same command without --only writes the report")


def _arm_and_fold(text: str) -> tuple[str, int]:
    arm, _, fold = text.rpartition(":")
    if not arm or not fold.isdecimal():
        raise typer.BadParameter(f"--only {text}: give ARM:FOLD, such as base:0")
    return arm, int(fold)
