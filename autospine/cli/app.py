"""The command line: every command, and how a process of it begins and ends. Heavy imports wait until a command runs."""

from __future__ import annotations

import sys

import typer

from autospine.cli.commands.annotation import audit, next_cases
from autospine.cli.commands.data import check, describe
from autospine.cli.commands.demo import demo
from autospine.cli.commands.models import export
from autospine.cli.commands.plans import plan, recipes
from autospine.cli.commands.prediction import compare, evaluate, predict
from autospine.cli.commands.reporting import report
from autospine.cli.commands.selection import select
from autospine.cli.commands.serving import serve
from autospine.cli.commands.study import study
from autospine.cli.commands.training import pretrain, train
from autospine.cli.streams import steady_streams
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
for command in (
    *(check, describe, plan, recipes, train, pretrain, select, predict, evaluate, compare, report),
    *(export, serve, demo),
):
    app.command()(command)
app.command()(audit)
app.command("next")(next_cases)
app.add_typer(study, name="study")


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
        from autospine.cli.terminal import show_error

        show_error(error)
        raise SystemExit(1) from None
    except KeyboardInterrupt:  # before a command has begun
        typer.echo("Stopped.", err=True)
        raise SystemExit(130) from None
