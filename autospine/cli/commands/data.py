"""`autospine check` and `describe`: what lies in a folder, before any work."""

from __future__ import annotations

from pathlib import Path

import typer

from autospine.cli.options import DatasetPath, ReadingOptions, Runs, grouped, reported
from autospine.cli.streams import need_output


@grouped
@reported
def check(
    dataset: DatasetPath,
    reading: ReadingOptions = ReadingOptions(),
) -> None:
    """List everything that is wrong with a dataset, before any work."""
    from autospine.cli.show.data import show_checked
    from autospine.cli.terminal import TerminalProgress
    from autospine.workflow.check import check_folder

    found = check_folder(dataset, reading(), progress=TerminalProgress())
    need_output()
    show_checked(found)
    if found.errors:
        raise typer.Exit(1)


@grouped
@reported
def describe(
    dataset: DatasetPath,
    reading: ReadingOptions = ReadingOptions(),
    runs: Runs = Path("runs"),
) -> None:
    """Say what was understood of a folder: layout, channels, labels, cases, subjects, and a picture of the first."""
    from autospine.cli.show.data import show_description
    from autospine.cli.terminal import TerminalProgress
    from autospine.workflow.describe import describe_dataset

    found = describe_dataset(dataset, runs, reading(), progress=TerminalProgress())
    need_output()
    show_description(found)
