"""`autospine predict` and `evaluate`: what a trained model makes of images, and how well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import Device, Runs, reported


@reported
def predict(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An image, or a folder of images.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A file for one image, else a folder.")],
    model: Annotated[
        Path | None, typer.Option(help="Model folder, or an exported file; not needed where --runs holds one model.")
    ] = None,
    folds: Annotated[str, typer.Option(help="Folds to average, such as 0,1; all: every trained one.")] = "all",
    device: Device = "auto",
    mirror: Annotated[bool, typer.Option(help="Average over the mirrorings that the plan allows.")] = True,
    overlap: Annotated[
        float | None, typer.Option(min=0.0, max=0.9, help="Overlap of tiles; the plan's if not given.")
    ] = None,
    runs: Runs = Path("runs"),
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CHANNEL=]TEXT",
            help="Images of a study to take: number, UID, description, or a pattern with *; once for each channel.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what autospine made in OUT and nobody has changed since.")
    ] = False,
) -> None:
    """Segment images; the results lie on the images' own grids."""
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.predict import PredictRequest, predict_paths

    chosen = None if folds == "all" else tuple(part.strip() for part in folds.split(","))
    request = PredictRequest(model, chosen, device, mirror, overlap, overwrite, series=tuple(series or ()))
    done = predict_paths(source, target, runs, request, progress=TerminalProgress()).complete()
    total = sum(done.seconds)
    took = f", {total / len(done.seconds):.1f} s a case, {total / sum(done.slices):.2f} s a slice" if total else ""
    console.print(f"{len(done.files)} segmentation(s) in {target}{took}")


@reported
def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="Folder (or file) of segmentations.")],
    reference: Annotated[Path, typer.Argument(metavar="REF", help="Folder (or file) of reference masks.")],
    output: Annotated[Path | None, typer.Option(help="Where metrics.json goes; beside PRED if not given.")] = None,
    lesions: Annotated[bool, typer.Option("--lesions", help="Count lesions found, missed and false as well.")] = False,
) -> None:
    """Score segmentations against reference masks, per class and case."""
    from autospine.cli.show.scores import show_scores
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.evaluate import evaluate_paths, write_scores

    scores = evaluate_paths(prediction, reference, lesions=lesions, progress=TerminalProgress())
    show_scores(scores.to_json())
    console.print(f"Written: {write_scores(scores, prediction, output)}")
