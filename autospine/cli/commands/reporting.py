"""`autospine report`: what was found out, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import reported


@reported
def report(
    place: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|STUDY|PREDICTIONS", help="Run folder, such as runs/my-spines, a study, or segmentations."
        ),
    ],
    ref: Annotated[
        Path | None, typer.Option(metavar="REF", help="Reference masks of PREDICTIONS: scores them.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(metavar="IMAGES", help="Images of PREDICTIONS, or the data set of RUN, to be shown in full."),
    ] = None,
    configuration: Annotated[
        str | None, typer.Option("--configuration", "-c", help="Of RUN: which; the chosen or default one if not given.")
    ] = None,
    cases: Annotated[int, typer.Option(min=0, max=50, help="Cases to scroll through, at most.")] = 5,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file; report.html in the folder if not given.")
    ] = None,
) -> None:
    """Write one HTML file that opens offline: figures, curves, cases to scroll through, plan, settings."""
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.report import ReportRequest, report_at

    request = ReportRequest(ref, images, configuration, cases, output)
    path = report_at(place, request, progress=TerminalProgress())
    console.print(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB)", soft_wrap=True, markup=False)
