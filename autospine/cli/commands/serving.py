"""`autospine serve`: a model that answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import Device, Runs, reported
from autospine.cli.quantities import parse_bytes, parse_duration, parse_size


@reported
def serve(
    model: Annotated[Path | None, typer.Option(help="Model folder or file; the one below --runs if not given.")] = None,
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
    folds: Annotated[str, typer.Option(help="Folds to average, such as 0,1; all: every trained one.")] = "all",
    device: Device = "auto",
    mirror: Annotated[bool, typer.Option(help="Average over the mirrorings that the plan allows.")] = True,
    fast: Annotated[
        bool, typer.Option("--fast", help="One fold, no mirrorings, least overlap; says what that costs in Dice.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compute in float32 throughout, whatever is faster.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Answer over HTTP: an image in, its segmentation out (docs/serving.md)."""
    from autospine.cli.terminal import show_line
    from autospine.inference.settings import Settings
    from autospine.serve.limits import Limits
    from autospine.serve.server import ServingRequest
    from autospine.serve.server import serve as run

    chosen = None if folds == "all" else tuple(part.strip() for part in folds.split(","))
    limits = Limits(upload_bytes=max_upload, upload_s=upload_time, waiting=queue)
    memory_bytes = None if memory is None else int(memory * 1e9)
    settings = Settings(chosen, mirror, memory_bytes=memory_bytes, fast=fast, exact=exact)
    run(ServingRequest(model, runs, host, port, token_file, device, settings, limits), show_line)
