"""`autospine export`: a trained model as a file to be given away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import reported
from autospine.cli.quantities import named_folds


@reported
def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder, or a file that was exported before.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="model.autospine, or model.onnx for other software.")],
    folds: Annotated[str, typer.Option(help="Folds to give away, such as 0,1; all: every trained one.")] = "all",
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Under which the model may be used, such as CC-BY-4.0.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write ONNX networks beside the model's file, too.")] = False,
    image: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="Compare ONNX networks with torch on this image as well.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that stand there.")] = False,
) -> None:
    """Write a model as one file, or as ONNX networks; no case, patient or file is named in it."""
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.export import ExportRequest, export_model

    request = ExportRequest(model, named_folds(folds), licence, onnx, image, overwrite)
    done = export_model(target, request, progress=TerminalProgress())
    named = ", ".join(path.name for path in done.files)
    console.print(f"Written in {target.parent}: {named} (fold(s) {', '.join(done.folds)})", markup=False)
