"""`autospine serve`: a model that answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import Device, Exact, Fast, Folds, Mirror, Model, ModelRuns, Postprocess, reported
from autospine.cli.quantities import named_folds, parse_bytes, parse_duration, parse_size


@reported
def serve(
    model: Model = None,
    runs: ModelRuns = Path("runs"),
    folds: Folds = "all",
    mirror: Mirror = True,
    fast: Fast = False,
    exact: Exact = False,
    postprocess: Postprocess = True,
    device: Device = "auto",
    host: Annotated[str, typer.Option(help="Address to listen on; other than this machine's needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: one that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that clients give; else AUTOSPINE_TOKEN, if it is set.")
    ] = None,
    queue: Annotated[int, typer.Option(min=0, max=10_000, help="Requests that may wait while one is predicted.")] = 8,
    max_upload: Annotated[
        int, typer.Option(parser=parse_bytes, metavar="SIZE", help="Most that a request may send, such as 500MB.")
    ] = "500MB",  # type: ignore[assignment]
    upload_time: Annotated[
        float, typer.Option(parser=parse_duration, metavar="TIME", help="Within which a request has to be sent.")
    ] = "2m",  # type: ignore[assignment]
    memory: Annotated[
        float | None,
        typer.Option(parser=parse_size, metavar="SIZE", help="Most that the server may have in RAM."),
    ] = None,
) -> None:
    """Answer over HTTP: POST an image or a zip of DICOM to /predict, and get its segmentation."""
    from autospine.cli.terminal import show_line
    from autospine.inference.settings import Settings
    from autospine.serve.limits import Limits
    from autospine.serve.server import ServingRequest
    from autospine.serve.server import serve as run

    limits = Limits(upload_bytes=max_upload, upload_s=upload_time, waiting=queue)
    memory_bytes = None if memory is None else int(memory * 1e9)
    settings = Settings(
        named_folds(folds), mirror, memory_bytes=memory_bytes, fast=fast, exact=exact, postprocess=postprocess
    )
    run(ServingRequest(model, runs, host, port, token_file, device, settings, limits), show_line)
