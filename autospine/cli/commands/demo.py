"""`autospine demo`: all of it, on synthetic spines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from autospine.cli.options import Device, reported
from autospine.cli.quantities import format_duration, parse_duration


@reported
def demo(
    folder: Annotated[Path, typer.Option(help="Where the phantom and everything made from it go.")] = Path("demo"),
    budget: Annotated[
        float, typer.Option(parser=parse_duration, metavar="TIME", help="Time that training may take.")
    ] = "150s",  # type: ignore[assignment]
    seed: Annotated[int, typer.Option(help="Another seed, another phantom.")] = 0,
    device: Device = "auto",
    scenario: Annotated[
        Literal["spine", "lumbar", "metastases", "tumour"], typer.Option(help="What is drawn and segmented.")
    ] = "spine",
) -> None:
    """Plan, train, predict and evaluate a synthetic spine, with every command shown."""
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.phantom.demo import run_demo

    result = run_demo(folder, budget, seed, device, scenario, progress=TerminalProgress())
    console.print(
        f"Mean Dice {result.mean_dice:.3f} on {result.cases} held-out cases of a phantom (synthetic images, "
        f"not patients), in {format_duration(result.seconds)}. Picture: {result.picture}, report: {result.report}"
    )
