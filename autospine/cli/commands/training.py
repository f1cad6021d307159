"""`autospine train` and `pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import (
    Budget,
    Configuration,
    DatasetPath,
    Device,
    Epochs,
    ReadingOptions,
    Runs,
    Track,
    Workers,
    check_length,
    grouped,
    reported,
)


@grouped
@reported
def train(
    dataset: DatasetPath,
    fold: Annotated[str, typer.Argument(metavar="FOLD", help="0, 1, ..., all, or full: on every case.")],
    configuration: Configuration = None,
    budget: Budget = None,
    epochs: Epochs = None,
    device: Device = "auto",
    workers: Workers = None,
    init: Annotated[
        Path | None, typer.Option(metavar="WEIGHTS", help="Start the encoder from a trained fold's weights.")
    ] = None,
    reading: ReadingOptions = ReadingOptions(),
    runs: Runs = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an earlier training of the fold away.")] = False,
    track: Track = None,
    commands: Annotated[
        bool, typer.Option("--commands", help="Train nothing: print a command for each fold, for a cluster.")
    ] = False,
) -> None:
    """Train a fold, or go on with it; then predict and score its validation cases. Plans first where no plan is."""
    from autospine.cli.show.scores import show_scores
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.train import TrainRequest, fold_commands, train_folds

    check_length(budget, epochs)
    if commands and overwrite:
        together = "folds of an earlier plan make way together: remove them first"
        raise typer.BadParameter(f"--overwrite with --commands: {together}")
    request = TrainRequest(
        configuration, budget, epochs, device, workers, overwrite, reading(), init, tuple(track or ())
    )
    if commands:
        for command in fold_commands(dataset, fold, runs, request):
            typer.echo(command)
        return
    for trained in train_folds(dataset, fold, runs, request, progress=TerminalProgress()):
        if trained.metrics is not None:
            show_scores(trained.metrics)
        console.print(f"Written: {trained.folder}")


@reported
def pretrain(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES...", help="Datasets or folders of images; masks are not needed.")
    ],
    dataset: Annotated[
        Path | None,
        typer.Option("--for", metavar="DATASET", help="Whose planned network is pretrained; the first of IMAGES."),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(min=0, metavar="FOLD", help="The fold that is to start from it; any if not given."),
    ] = None,
    configuration: Configuration = None,
    budget: Budget = None,
    epochs: Epochs = None,
    device: Device = "auto",
    workers: Workers = None,
    runs: Runs = Path("runs"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an earlier pretraining away.")] = False,
    track: Track = None,
) -> None:
    """Teach the planned network's encoder from images alone, or go on with it. Then: train --init."""
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.pretrain import PretrainRequest, pretrain_images

    check_length(budget, epochs)
    request = PretrainRequest(configuration, fold, budget, epochs, device, workers, overwrite, tuple(track or ()))
    done = pretrain_images(images, dataset or images[0], runs, request, progress=TerminalProgress())
    console.print(f"Written: {done.folder}. Next: {done.next_command}", soft_wrap=True, markup=False, highlight=False)
