"""What a script calls: the commands with their options as keywords, and what comes out as a value.

    import autospine

    plan = autospine.plan("my-spines", budget_s=1800)
    for fold in autospine.train("my-spines", "all"):
        print(fold.folder, fold.metrics["mean"]["dice"])
    done = autospine.predict("new", "out")
    scores = autospine.evaluate("out", "masks")
    found = autospine.compare({"old": "out", "new": "out2"}, "masks")

Defaults are those of the command line, files and messages as well. `progress` is told what the terminal would show;
without one nobody is. Faults of the input are raised as `autospine.errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from autospine.data.structure import Reading
from autospine.errors import PlanError
from autospine.evaluation.comparison import Comparison
from autospine.evaluation.metrics import TOLERANCE_MM
from autospine.evaluation.score import Scores
from autospine.machine.ranks import Share
from autospine.planning.document.plan import Plan
from autospine.report.comparison_document import write_comparison
from autospine.workflow.audit import Audited, AuditRequest, audit_dataset
from autospine.workflow.compare import CompareRequest, compare_paths, name_arms
from autospine.workflow.evaluate import evaluate_paths, write_scores
from autospine.workflow.export import Exported, ExportRequest, export_model
from autospine.workflow.next_cases import Chosen, NextRequest, choose_next
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.predict import Prediction, PredictRequest, predict_paths
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.selection import Selection
from autospine.workflow.select import SelectRequest, select_models
from autospine.workflow.steps.arrivals import Watch
from autospine.workflow.steps.outputs import Outputs
from autospine.workflow.steps.pictures import Pictures
from autospine.workflow.train import Trained, TrainRequest, train_folds


def plan(
    dataset: str | Path,
    *,
    recipe: str | Path = "default",
    budget_s: float | None = None,
    epochs: int | None = None,
    device: str = "auto",
    memory_gb: float | None = None,
    source: str | Path | None = None,
    reading: Reading = Reading(),
    runs: str | Path = "runs",
    dry_run: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """The plan of the dataset, made and written below `runs`, or the one that stands there.

    Every number of it has a reason: `autospine.plan("my-spines").reasons["2d.patch"]`.

    Args:
        dataset: folder of images and masks.
        recipe: name of a shipped recipe, or a recipe file.
        budget_s: seconds that a training may take.
        epochs: epochs instead of a time; the recipe's if not given.
        device: auto, cpu, cuda or cuda:N.
        memory_gb: memory to plan for, in 10^9 bytes; the device's if not given.
        source: a plan to move to the dataset, for pretraining.
        reading: how the folder is to be read, where it does not say so itself.
        runs: where everything is written.
        dry_run: write nothing.
        overwrite: replace a plan that stands there.
        progress: told notes and the share that is done.

    Raises:
        DataError: the dataset has errors; all of them are listed.
        PlanError: another plan stands there and `overwrite` is off, or recipe or `source` are wrong.
        OutputError: the run folder cannot be written.
        DeviceError: the device is not there.
    """
    _check_length(budget_s, epochs)
    request = PlanRequest(str(recipe), memory_gb, budget_s, device, _path(source), reading, epochs)
    progress = progress or Silent()
    made = plan_dataset(Path(dataset), Path(runs), request, dry_run=dry_run, overwrite=overwrite, progress=progress)
    for note in made.notes:
        progress.note(note)
    return made.plan


def train(
    dataset: str | Path,
    fold: int | str,
    *,
    configuration: str | None = None,
    budget_s: float | None = None,
    epochs: int | None = None,
    device: str = "auto",
    workers: int | None = None,
    init: str | Path | None = None,
    reading: Reading = Reading(),
    runs: str | Path = "runs",
    overwrite: bool = False,
    track: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> tuple[Trained, ...]:
    """The trained folds, each with its folder and the scores of its validation cases; what has begun is gone on with.

    Args:
        dataset: folder of images and masks; planned first where it is not yet.
        fold: 0, 1, ..., "all" of them, or "full": one network on every case, which is not scored.
        configuration: 2d, 3d_fullres, ...; the plan's default if not given.
        budget_s: seconds that the training of a fold may take; the plan's if not given.
        epochs: epochs instead of the plan's.
        device: auto, cpu, cuda or cuda:N.
        workers: processes that prepare cases and build batches; 0: all in this one.
        init: weights that the encoder starts from: a file, or the folder of a trained fold.
        reading: how the folder is to be read, where it is planned first.
        runs: where everything is written.
        overwrite: throw an earlier training of the folds away.
        track: trackers that get the history as well, such as ("tensorboard",); also mlflow and wandb.
        progress: told notes and the share that is done.

    Raises:
        DataError: a case cannot be read, or the folds do not fit the data.
        PlanError: no such fold or configuration, or another training stands there.
        OutputError: the run folder cannot be written, or another process trains the fold.
        DeviceError: the device is not there, or its memory is too small.
        Stopped: a signal has ended it; the same call goes on.
    """
    _check_length(budget_s, epochs)
    request = TrainRequest(
        configuration, budget_s, epochs, device, workers, overwrite, reading, _path(init), tuple(track or ())
    )
    return tuple(train_folds(Path(dataset), str(fold), Path(runs), request, progress=progress))


def predict(
    source: str | Path,
    target: str | Path,
    *,
    model: str | Path | None = None,
    folds: Sequence[int | str] | None = None,
    device: str = "auto",
    mirror: bool = True,
    overlap: float | None = None,
    fast: bool = False,
    exact: bool = False,
    postprocess: bool = True,
    memory_gb: float | None = None,
    runs: str | Path = "runs",
    file_format: str | None = None,
    probabilities: bool = False,
    uncertainty: bool = False,
    instances: bool = False,
    statistics: bool = False,
    preview: bool = False,
    overwrite: bool = False,
    series: Sequence[str] | None = None,
    share: str | None = None,
    watch: bool = False,
    progress: Progress | None = None,
) -> Prediction:
    """The segmentations that were written, on the images' own grids, and what was left out.

    A case that cannot be segmented stops no other: `autospine.predict("new", "out").left_out` says which and why.

    Args:
        source: an image, or a folder of images.
        target: a file for one image, else a folder.
        model: model folder, exported file, or the folder of a run with a selection; not needed where `runs` holds one
            of them.
        folds: folds to average, such as (0, 1); every trained one if not given.
        device: auto, cpu, cuda or cuda:N.
        mirror: average over the mirrorings that the plan allows.
        overlap: share by which tiles overlap, 0 to 0.9; the plan's if not given.
        fast: one fold, no mirrorings, least overlap; what that costs is told.
        exact: float32 throughout, whatever is faster.
        postprocess: do what was found to help after the network.
        memory_gb: memory that may be used, in 10^9 bytes; what is free if not given.
        runs: where the model is looked for.
        file_format: nifti, nrrd, seg-nrrd, mha, mgz or dicom-seg; that of each image if not given.
        probabilities: write the probability of each structure as well.
        uncertainty: write where folds and mirrorings disagree.
        instances: write each vertebra by its number from below.
        statistics: write volumes and mean intensities as CSV.
        preview: write a picture of each case.
        overwrite: make anew what autospine made in `target` and nobody has changed since.
        series: which series of a study are meant, such as ("T2 sag",) or ("water=*_W",).
        share: of the cases this part alone, such as "2/8"; else all that no other process predicts into `target`.
        watch: go on with what arrives in the folder `source`, until `KeyboardInterrupt`.
        progress: told notes and the share that is done.

    Raises:
        ValueError: a share that is none.
        DataError: no images, or none that can be segmented.
        PlanError: no model, or several, or a broken one.
        OutputError: `target` holds what is not to be replaced, or cannot be written.
        DeviceError: the device is not there.
        Stopped: the watching has ended.
    """
    chosen = None if folds is None else tuple(map(str, folds))
    request = PredictRequest(
        _path(model),
        chosen,
        device,
        mirror,
        overlap,
        overwrite,
        Outputs(file_format, probabilities, uncertainty, statistics, preview, instances),
        series=tuple(series or ()),
        share=None if share is None else Share.parse(share),
        watch=Watch() if watch else None,
        fast=fast,
        exact=exact,
        postprocess=postprocess,
        memory_gb=memory_gb,
    )
    return predict_paths(Path(source), Path(target), Path(runs), request, progress=progress)


def select(
    dataset: str | Path,
    *,
    configurations: Sequence[str] | None = None,
    device: str = "auto",
    workers: int | None = None,
    runs: str | Path = "runs",
    progress: Progress | None = None,
) -> Selection:
    """The model or ensemble of a data set that predicts best out of fold, with the evidence; `predict` uses it.

    `autospine.select("my-spines").members` is ("2d",), say; evidence are `candidates`, `steps` and `calibrations`.

    Args:
        dataset: folder of images and masks, of which folds are trained; not all need to be.
        configurations: those that may be chosen; all that are trained if not given.
        device: auto, cpu, cuda or cuda:N.
        workers: at most so many processes prepare cases that are not.
        runs: where everything is written.
        progress: told notes and the share that is done.

    Raises:
        DataError: a case cannot be prepared, or the folds do not fit the data.
        PlanError: nothing is trained, or candidates have no case in common that none of them has trained on.
        OutputError: the run folder cannot be written.
        DeviceError: the device is not there, or its memory is too small.
    """
    request = SelectRequest(tuple(configurations or ()), device, workers)
    return select_models(Path(dataset), Path(runs), request, progress=progress)


def export(
    model: str | Path,
    target: str | Path,
    *,
    folds: Sequence[int | str] | None = None,
    licence: str | None = None,
    onnx: bool = False,
    image: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """The files that were written of a model, to be given away: no case, patient or file is named in them.

    `autospine.export("runs/my-spines/2d", "spines.autospine").files`

    Args:
        model: model folder, or a file that was exported before.
        target: a `.autospine` file, or an `.onnx` file for other software.
        folds: folds to give away, such as (0, 1); every trained one if not given.
        licence: under which the model may be used.
        onnx: write ONNX networks beside a `.autospine` file, too.
        image: compare ONNX networks with torch on this image as well.
        overwrite: replace files that stand there.
        progress: told notes and the share that is done.

    Raises:
        PlanError: a broken model, no such fold, or an ONNX network that does not compute as torch's does.
        OutputError: `target` has another ending, is there already, or cannot be written.
    """
    chosen = None if folds is None else tuple(map(str, folds))
    request = ExportRequest(Path(model), chosen, licence, onnx, _path(image), overwrite)
    return export_model(Path(target), request, progress=progress)


def evaluate(
    prediction: str | Path,
    reference: str | Path,
    *,
    output: str | Path | None = None,
    lesions: bool = False,
    pictures: bool = False,
    images: str | Path | None = None,
    worst: int = 10,
    distances: bool = True,
    tolerance_mm: float = TOLERANCE_MM,
    subjects: str | None = None,
    progress: Progress | None = None,
) -> Scores:
    """The scores of segmentations against reference masks, per class and case; also written as `metrics.json`.

    `autospine.evaluate("out", "masks").to_json()["mean"]["dice"]` is the mean Dice.

    Args:
        prediction: folder (or file) of segmentations.
        reference: folder (or file) of reference masks.
        output: where metrics.json goes; beside the segmentations if not given.
        lesions: count lesions found, missed and false as well.
        pictures: draw the worst cases into `pictures`, beside the segmentations.
        images: the images to draw on; found by prediction.json if not given.
        worst: cases to draw.
        distances: measure surfaces, too; overlaps alone are much faster.
        tolerance_mm: distance up to which surfaces count as the same in the surface Dice.
        subjects: a regular expression that finds the subject in a case's name, or a table with `case` and `subject`.
        progress: told the share that is done.

    Raises:
        DataError: everything that keeps pairs from being scored; or there is no image to draw on.
        OutputError: metrics.json or a picture cannot be written.
    """
    wanted = Pictures(_path(images), worst) if pictures or images is not None else None
    scores = evaluate_paths(
        Path(prediction),
        Path(reference),
        lesions=lesions,
        distances=distances,
        tolerance_mm=tolerance_mm,
        subjects=subjects,
        pictures=wanted,
        progress=progress,
    )
    write_scores(scores, Path(prediction), _path(output))
    return scores


def compare(
    predictions: Sequence[str | Path] | Mapping[str, str | Path],
    reference: str | Path,
    *,
    out: str | Path | None = "comparison",
    metric: str = "dice",
    subjects: str | None = None,
    common: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Segmentations of the same cases compared with the first of them, paired over subjects; also written to `out`.

    `autospine.compare(["old", "new"], "masks").overall[0].beyond_noise` says whether the second differs beyond noise.

    Args:
        predictions: two folders of segmentations or more, or name -> folder; the first is the one to compare with.
        reference: folder of reference masks.
        out: folder for comparison.md, .csv, .json and .png; None: nothing is written.
        metric: the figure to compare in, such as dice or hd95_mm.
        subjects: regular expression that finds the subject in a case's name.
        common: leave out cases that some folder lacks, instead of refusing them.
        progress: told the share that is done.

    Raises:
        DataError: fewer than two folders, no such metric, a case that some folder lacks, or what keeps pairs from being
            scored.
        OutputError: `out` cannot be written.
    """
    named = predictions.items() if isinstance(predictions, Mapping) else (("", place) for place in predictions)
    arms = name_arms([(name, Path(place)) for name, place in named])
    comparison = compare_paths(arms, Path(reference), CompareRequest(metric, subjects, common), progress=progress)
    if out is not None:
        write_comparison(comparison, Path(out))
    return comparison


def audit(
    dataset: str | Path,
    *,
    configuration: str | None = None,
    count: int = 20,
    workers: int | None = None,
    runs: str | Path = "runs",
    progress: Progress | None = None,
) -> Audited:
    """The training masks, the most suspicious first, by predictions of networks that have not learnt from them.

    `autospine.audit("my-spines").cases[0].suspicions[0].detail` says what may be wrong with the first.

    Args:
        dataset: folder of images and masks, of which folds are trained.
        configuration: 2d, 3d_fullres, ...; the plan's default if not given.
        count: cases to draw, and to lay out for 3D Slicer and ITK-SNAP.
        workers: processes that compare cases; 0: all in this one; by cores and memory if not given.
        runs: where the run of the dataset lies; the list is written there, as `audit/worklist.csv`.
        progress: told notes and the share that is done.

    Raises:
        DataError: the dataset cannot be opened.
        PlanError: no plan, or no out-of-fold prediction, or the labels have changed.
        OutputError: the run folder cannot be written.
    """
    request = AuditRequest(configuration, count, workers)
    return audit_dataset(Path(dataset), Path(runs), request, progress=progress)


def next_cases(
    dataset: str | Path,
    unlabelled: str | Path,
    *,
    count: int = 10,
    out: str | Path | None = None,
    model: str | Path | None = None,
    configuration: str | None = None,
    device: str = "auto",
    runs: str | Path = "runs",
    progress: Progress | None = None,
) -> Chosen:
    """The scans whose annotation would teach the model most, each with a segmentation to correct.

    `[scan.case for scan in autospine.next_cases("my-spines", "archive").scans]`

    Args:
        dataset: folder of images and masks, of which a model is trained.
        unlabelled: scans to choose from: a folder of images, a data set, or DICOM.
        count: scans to choose.
        out: where it is written; `runs/<dataset>/next` if not given.
        model: model folder, or an exported file; the one of the dataset's run if not given.
        configuration: of that run; the plan's default if not given.
        device: auto, cpu, cuda or cuda:N.
        runs: where the run of the dataset lies.
        progress: told notes and the share that is done.

    Raises:
        DataError: no scans, or none that can be segmented or is not annotated yet.
        PlanError: no plan, or no trained model.
        OutputError: `out` cannot be written.
        DeviceError: the device is not there.
    """
    request = NextRequest(_path(model), configuration, count, device)
    return choose_next(Path(dataset), Path(unlabelled), Path(runs), _path(out), request, progress=progress)


def _path(place: str | Path | None) -> Path | None:
    return None if place is None else Path(place)


def _check_length(budget_s: float | None, epochs: int | None) -> None:
    """Raise `PlanError` where a training is given both a time and epochs."""
    if budget_s is not None and epochs is not None:
        raise PlanError("budget_s and epochs", "both are given", "one of them", "leave one out")
