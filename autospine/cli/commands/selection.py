"""`autospine select`: which of the trained models predicts, and what is done after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import DatasetPath, Device, Runs, Workers, reported


@reported
def select(
    dataset: DatasetPath,
    configurations: Annotated[
        list[str] | None,
        typer.Option(
            "--configuration", "-c", help="One that may be chosen, once for each; all that are trained if not given."
        ),
    ] = None,
    device: Device = "auto",
    workers: Workers = None,
    runs: Runs = Path("runs"),
) -> None:
    """Choose the model or ensemble, postprocessing and temperature by the folds that are trained; predict uses them."""
    from autospine.cli.show.selection import show_selection
    from autospine.cli.terminal import TerminalProgress, show_line
    from autospine.workflow.runs.folder import RunFolder
    from autospine.workflow.select import SelectRequest, select_models

    request = SelectRequest(tuple(configurations or ()), device, workers)
    selection = select_models(dataset, runs, request, progress=TerminalProgress())
    show_selection(selection)
    show_line(
        f"Selected: {selection.name}; `autospine predict` uses it with --model {RunFolder.of(runs, dataset).root}"
    )
