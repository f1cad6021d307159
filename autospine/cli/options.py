"""What several commands share: options with their help, and how a user's error ends a command."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from autospine.cli.duration import parse_duration
from autospine.cli.streams import need_output
from autospine.errors import AutospineError, Stopped
from autospine.machine.temporary import find_temporary_folder

P = ParamSpec("P")

DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of images and masks.")]
Runs = Annotated[Path, typer.Option(help="Where everything is written.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Subjects = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="Finds the subject in a case's name; a subject is never split over folds."),
]
LayoutName = Annotated[
    str | None, typer.Option("--layout", metavar="NAME", help="How the folder is laid out, where two readings fit.")
]
Masks = Annotated[str | None, typer.Option(metavar="KIND", help="Which masks, where images have several kinds.")]
AllowMissing = Annotated[bool, typer.Option("--allow-missing", help="Cases may lack the file of a channel.")]
Channels = Annotated[
    str | None,
    typer.Option(
        parser=lambda text: ",".join(part.strip() for part in text.split(",")),
        metavar="NAMES",
        help="Read these channels alone, such as T1,T2.",
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(parser=parse_duration, metavar="TIME", help="Time that training may take, such as 30m or 2h."),
]

Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that prepare cases and build batches; 0: all in this one.")
]


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """`command` with the user's errors shown as one message and turned into exit codes.

    What a command prints is not what it works for, unless it says so (`streams.need_output`).
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        need_output(False)
        try:
            find_temporary_folder()
            command(*args, **kwargs)
        except AutospineError as error:
            from autospine.cli.show import show_error

            show_error(error)
            raise typer.Exit(1) from None
        except PermissionError as fault:  # of a folder above a file that is looked for
            if fault.filename is None:
                raise
            from autospine.cli.show import show_error
            from autospine.data.files import unreadable

            show_error(unreadable(Path(os.fsdecode(fault.filename)), fault))
            raise typer.Exit(1) from None
        except (Stopped, KeyboardInterrupt) as stop:
            typer.echo(f"Stopped. {stop}".strip(), err=True)
            raise typer.Exit(130) from None

    return run
