"""`autospine audit` and `next`: which masks to look at again, and which scans to annotate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import Configuration, DatasetPath, Device, Model, Runs, reported


@reported
def audit(
    dataset: DatasetPath,
    configuration: Configuration = None,
    count: Annotated[
        int, typer.Option(min=0, metavar="N", help="Cases to draw, and to lay out for 3D Slicer and ITK-SNAP.")
    ] = 20,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that compare cases; 0: all in this one.")
    ] = None,
    runs: Runs = Path("runs"),
) -> None:
    """List the masks that are likely to be wrong, by predictions of networks that have not learnt from them."""
    from autospine.cli.show.annotation import show_audit
    from autospine.cli.terminal import TerminalProgress
    from autospine.workflow.audit import AuditRequest, audit_dataset

    done = audit_dataset(dataset, runs, AuditRequest(configuration, count, workers), progress=TerminalProgress())
    show_audit(done)


@reported
def next_cases(
    dataset: DatasetPath,
    unlabelled: Annotated[
        Path, typer.Argument(metavar="UNLABELLED", help="A folder of scans without masks, a data set, or DICOM.")
    ],
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Scans to choose.")] = 10,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where it is written; RUNS/<dataset>/next if not given.")
    ] = None,
    model: Model = None,
    configuration: Configuration = None,
    device: Device = "auto",
    runs: Runs = Path("runs"),
) -> None:
    """Choose the scans whose annotation would teach most, each with a segmentation to correct."""
    from autospine.cli.show.annotation import show_chosen
    from autospine.cli.terminal import TerminalProgress
    from autospine.workflow.next_cases import NextRequest, choose_next

    request = NextRequest(model, configuration, count, device)
    show_chosen(choose_next(dataset, unlabelled, runs, out, request, progress=TerminalProgress()))
