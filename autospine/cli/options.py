"""What several commands share: options with their help, and how a user's error ends a command."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, get_type_hints

import typer

from autospine.cli.quantities import parse_duration
from autospine.cli.streams import need_output
from autospine.errors import AutospineError, Stopped
from autospine.machine.temporary import find_temporary_folder

if TYPE_CHECKING:
    from autospine.data.structure import Reading

P = ParamSpec("P")

DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of images and masks.")]
Runs = Annotated[Path, typer.Option(help="Where everything is written.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Budget = Annotated[
    float | None,
    typer.Option(parser=parse_duration, metavar="TIME", help="Time that training may take, such as 30m or 2h."),
]

Epochs = Annotated[int | None, typer.Option(min=1, help="Epochs instead of the plan's.")]
Configuration = Annotated[
    str | None, typer.Option("--configuration", "-c", help="2d, 3d_fullres, ...; the plan's default if not given.")
]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that prepare cases and build batches; 0: all in this one.")
]


def parse_tracker(text: str) -> str:
    """A tracker by its name."""
    from autospine.workflow.steps.trackers import TRACKERS

    if text not in TRACKERS:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(TRACKERS)}")
    return text


Track = Annotated[
    list[str] | None,
    typer.Option(
        parser=parse_tracker,
        metavar="TRACKER",
        help="Send the history there as well: tensorboard, mlflow or wandb; once for each.",
    ),
]

ModelRuns = Annotated[Path, typer.Option("--runs", help="Where the model is looked for, without --model.")]
Model = Annotated[
    Path | None,
    typer.Option(help="Model folder, exported file, or run with a selection; else the only one below --runs."),
]
Folds = Annotated[str, typer.Option(help="Folds to average, such as 0,1; all: every trained one.")]
Mirror = Annotated[bool, typer.Option(help="Average over the mirrorings that the plan allows.")]
Fast = Annotated[
    bool, typer.Option("--fast", help="One fold, no mirrorings, least overlap; says what that costs in Dice.")
]
Postprocess = Annotated[
    bool, typer.Option("--postprocessing/--no-postprocessing", help="Do what was found to help after the network.")
]
Exact = Annotated[bool, typer.Option("--exact", help="Compute in float32 throughout, whatever is faster.")]


@dataclass(frozen=True)
class ReadingOptions:
    """How the folder is to be read: options of every command that opens a dataset."""

    subjects: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Finds the subject in a case's name; a subject is never split over folds."),
    ] = None
    layout: Annotated[
        str | None, typer.Option(metavar="NAME", help="How the folder is laid out, where two readings fit.")
    ] = None
    masks: Annotated[str | None, typer.Option(metavar="KIND", help="Which masks, where images have several kinds.")] = (
        None
    )
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Cases may lack the file of a channel.")] = (
        False
    )
    channels: Annotated[str | None, typer.Option(metavar="NAMES", help="Read these channels alone, such as T1,T2.")] = (
        None
    )

    def __call__(self) -> Reading:
        """The reading that was asked for."""
        from autospine.data.structure import Reading

        return Reading.from_json(vars(self))


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, of which each parameter that is a dataclass of options becomes these options, where it stands.

    typer knows no groups: it sees every option as a parameter, and the command gets the dataclass.
    """
    groups = _parameters(command)
    parameters = [one for group in groups for one in _spread(group)]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**{group.name: _gathered(group, given) for group in groups})

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _parameters(called: Callable[..., object]) -> list[inspect.Parameter]:
    """The parameters of a function or a dataclass, with their annotations."""
    hints = get_type_hints(called, include_extras=True)
    return [one.replace(annotation=hints[one.name]) for one in inspect.signature(called).parameters.values()]


def _spread(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """The options that a parameter stands for: its own fields where it is a dataclass, and theirs."""
    if not is_dataclass(parameter.annotation):
        return [parameter]
    return [one for field in _parameters(parameter.annotation) for one in _spread(field)]  # type: ignore[arg-type]


def _gathered(parameter: inspect.Parameter, given: Mapping[str, Any]) -> Any:
    """What the command gets for a parameter, of the options that were `given`."""
    kind: Any = parameter.annotation
    if not is_dataclass(kind):
        return given[parameter.name]
    return kind(**{field.name: _gathered(field, given) for field in _parameters(kind)})  # type: ignore[operator,arg-type]


def check_length(budget: float | None, epochs: int | None) -> None:
    """A usage error where a training is given both a time and epochs."""
    if budget is not None and epochs is not None:
        raise typer.BadParameter("give --budget or --epochs, not both")


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with the user's errors shown as one message and turned into exit codes.

    What a command prints is not what it works for, unless it says so (`streams.need_output`).
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        need_output(False)
        try:
            find_temporary_folder()
            return command(*args, **kwargs)
        except AutospineError as error:
            found = error
        except PermissionError as fault:  # of a folder above a file that is looked for
            if fault.filename is None:
                raise
            from autospine.data.disk.files import unreadable

            found = unreadable(Path(os.fsdecode(fault.filename)), fault)
        except (Stopped, KeyboardInterrupt) as stop:
            typer.echo(f"Stopped. {stop}".strip(), err=True)
            raise typer.Exit(130) from None
        from autospine.cli.terminal import show_error

        show_error(found)
        raise typer.Exit(1)

    return run
