"""`autospine predict`, `evaluate` and `compare`: what a trained model makes of images, how well, and whether better."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autospine.cli.options import Device, Exact, Fast, Folds, Mirror, Model, ModelRuns, Postprocess, reported
from autospine.cli.quantities import named_folds, parse_millimetres, parse_share, parse_size
from autospine.machine.ranks import Share


@reported
def predict(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An image, a folder of images, a data set, or DICOM.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A file for one image, else a folder.")],
    model: Model = None,
    runs: ModelRuns = Path("runs"),
    folds: Folds = "all",
    mirror: Mirror = True,
    overlap: Annotated[
        float | None, typer.Option(min=0.0, max=0.9, help="Overlap of tiles; the plan's if not given.")
    ] = None,
    fast: Fast = False,
    exact: Exact = False,
    postprocess: Postprocess = True,
    memory: Annotated[
        float | None,
        typer.Option(parser=parse_size, metavar="SIZE", help="Memory to use at most, such as 4GB; else what is free."),
    ] = None,
    device: Device = "auto",
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[CHANNEL=]TEXT",
            help="Images of a study to take: number, UID, description, or a pattern with *; once for each channel.",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="nifti, nrrd, seg-nrrd, mha, mgz or dicom-seg; that of each image if not given."),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probability of each structure as well (.b2nd).")
    ] = False,
    instances: Annotated[
        bool, typer.Option("--instances", help="Write each vertebra by its number from below, whatever its level.")
    ] = False,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="Write a map of where folds and mirrorings disagree, 0 to 1.")
    ] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Write volumes in mm3 and mean intensities as CSV.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Write a picture of each case.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Make anew what autospine made in OUT and nobody has changed since.")
    ] = False,
    share: Annotated[
        Share | None,
        typer.Option(parser=parse_share, metavar="K/N", help="Of the cases the K-th of N parts alone, such as 2/8."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on with images that arrive in IN, until stopped by Ctrl-C.")
    ] = False,
) -> None:
    """Segment images; the results lie on the images' own grids."""
    from autospine.cli.terminal import TerminalProgress
    from autospine.data.not_to_segment import LEVELS, PROMISED
    from autospine.machine.ranks import Rank
    from autospine.workflow.predict import PredictRequest, predict_paths
    from autospine.workflow.steps.arrivals import Watch
    from autospine.workflow.steps.levels import describe_unnamed
    from autospine.workflow.steps.outputs import Outputs, table_of
    from autospine.workflow.steps.promise import describe_flagged

    request = PredictRequest(
        model,
        named_folds(folds),
        device,
        mirror,
        overlap,
        overwrite,
        Outputs(file_format, probabilities, uncertainty, statistics, preview, instances),
        series=tuple(series or ()),
        share=share,
        watch=Watch() if watch else None,
        memory_gb=memory,
        fast=fast,
        exact=exact,
        postprocess=postprocess,
    )
    rank = Rank.of()
    progress = TerminalProgress(f"[{rank.index}] " if rank.launched else "")
    done = predict_paths(source, target, runs, request, progress=progress).complete()
    total = sum(done.seconds)
    took = f", {total / len(done.seconds):.1f} s a case, {total / sum(done.slices):.2f} s a slice" if total else ""
    progress.note(f"{len(done.files)} segmentation(s) in {target}{took}")
    count, single = len(done.files), target in done.files
    for line in (
        *describe_unnamed(done.unnamed, count, table_of(LEVELS, target, single)),
        *describe_flagged(done.flagged, count, table_of(PROMISED, target, single)),
    ):
        progress.note(line)


@reported
def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="Folder (or file) of segmentations.")],
    reference: Annotated[Path, typer.Argument(metavar="REF", help="Folder (or file) of reference masks.")],
    output: Annotated[Path | None, typer.Option(help="Where metrics.json goes; beside PRED if not given.")] = None,
    lesions: Annotated[bool, typer.Option("--lesions", help="Count lesions found, missed and false as well.")] = False,
    pictures: Annotated[bool, typer.Option("--pictures", help="Draw the worst cases, with what is wrong.")] = False,
    images: Annotated[
        Path | None, typer.Option(help="The images, for --pictures; found by prediction.json if not given.")
    ] = None,
    worst: Annotated[int, typer.Option(min=1, help="Cases to draw.")] = 10,
    distances: Annotated[
        bool, typer.Option("--distances/--no-distances", help="Measure surfaces; without it all is much faster.")
    ] = True,
    tolerance: Annotated[
        float,
        typer.Option(
            parser=parse_millimetres, metavar="MM", help="Distance up to which the surface Dice takes surfaces for one."
        ),
    ] = 1.0,
    subjects: Annotated[
        str | None,
        typer.Option(metavar="REGEX|TABLE", help="Finds the subject in a case's name, or a CSV with case and subject."),
    ] = None,
) -> None:
    """Score segmentations against reference masks, per class, case and subject."""
    from autospine.cli.show.scores import show_scores
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.workflow.evaluate import evaluate_paths, write_scores
    from autospine.workflow.steps.pictures import Pictures

    wanted = Pictures(images, worst) if pictures or images is not None else None
    scores = evaluate_paths(
        prediction,
        reference,
        lesions=lesions,
        distances=distances,
        tolerance_mm=tolerance,
        subjects=subjects,
        pictures=wanted,
        progress=TerminalProgress(),
    )
    show_scores(scores.to_json())
    console.print(f"Written: {write_scores(scores, prediction, output)}")


@reported
def compare(
    predictions: Annotated[
        list[str], typer.Argument(metavar="[NAME=]PRED...", help="Two folders or more; the first to compare with.")
    ],
    reference: Annotated[Path, typer.Option("--ref", metavar="REF", help="Folder of reference masks.")],
    out: Annotated[Path, typer.Option(help="Folder for the comparison's files.")] = Path("comparison"),
    metric: Annotated[str, typer.Option(help="Figure to compare in, such as dice or hd95_mm.")] = "dice",
    subjects: Annotated[
        str | None,
        typer.Option(metavar="REGEX|TABLE", help="Finds the subject in a case's name, or a CSV with case and subject."),
    ] = None,
    common: Annotated[
        bool, typer.Option("--common", help="Leave out cases that some folder lacks, instead of refusing them.")
    ] = False,
) -> None:
    """Compare segmentations of the same cases: whether one is better beyond noise, and which cases decide."""
    from autospine.cli.show.comparison import show_comparison
    from autospine.cli.terminal import TerminalProgress, console
    from autospine.report.comparison_document import write_comparison
    from autospine.workflow.compare import CompareRequest, compare_paths, name_arms, parse_arm

    arms = name_arms([parse_arm(word) for word in predictions])
    request = CompareRequest(metric, subjects, common)
    comparison = compare_paths(arms, reference, request, progress=TerminalProgress())
    show_comparison(comparison)
    console.print(f"Written: {write_comparison(comparison, out)}")
