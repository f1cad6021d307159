"""`autospine train`: prepare, fit, then predict and score the fold's validation cases."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.data.disk.files import read_json, write_json
from autospine.data.folds import FULL, Fold, FoldName, fold_of, read_folds
from autospine.data.structure import Reading
from autospine.planning.decide.fold_loss import fold_loss, full_loss
from autospine.planning.document.about import read_about, write_about
from autospine.planning.document.evidence import EVIDENCE, Evidence
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import write_previous
from autospine.planning.document.parts import LossPlan
from autospine.planning.document.promise import read_promise
from autospine.planning.estimate.memory import training_memory_gb
from autospine.preprocessing.keys import stored_key
from autospine.preprocessing.store import Store
from autospine.workflow.plan import PlanRequest, ensure_planned
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.report import report_training
from autospine.workflow.runs.asked_again import begin_in_model, check_model, choose_course, settle
from autospine.workflow.runs.folder import METRICS_FILE, VALIDATION, RunFolder, training_alone
from autospine.workflow.runs.learnt_from import check_cases, check_unseen
from autospine.workflow.runs.plan_command import half_hour_command, plan_command, replan_command, train_command
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.steps.about import about_training
from autospine.workflow.steps.cascade import OutOfFold, find_out_of_fold, segment_out_of_fold
from autospine.workflow.steps.evidence import evidence_temperature, write_evidence
from autospine.workflow.steps.expectation import compare_expected, describe_comparisons
from autospine.workflow.steps.level_trust import FoldTrust, describe_trust, fit_trust, measure_trust
from autospine.workflow.steps.pace import shown, watch_feeding, watch_pace, watch_threads
from autospine.workflow.steps.pictures import draw_validation
from autospine.workflow.steps.promise import describe_promise, fit_promise
from autospine.workflow.steps.request import enough_memory, fold_numbers, requested
from autospine.workflow.steps.timing import training_notes
from autospine.workflow.steps.trackers import check_trackers
from autospine.workflow.steps.tracking import Tracking, tracked
from autospine.workflow.steps.training import Training
from autospine.workflow.steps.validate import measure_fast, segmentation_writer, validate_fold

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

    from autospine.training.fold import FoldTask
    from autospine.training.initial import CarriedOver
    from autospine.training.progress import EpochRecord, FitResult

DRAWN_EVERY_S = 10.0
"""Seconds between two pictures of the curves, at least (ours)."""


@dataclass(frozen=True)
class TrainRequest:
    """What the user asked for."""

    configuration: str | None = None
    """A configuration of the plan; None: its default."""
    budget_s: float | None = None
    """Seconds that the training may take; None: the plan's budget or epochs."""
    epochs: int | None = None
    """Epochs instead of the plan's; switches a budget off."""
    device: str = "auto"
    workers: int | None = None
    """Processes that build batches, and at most so many that prepare cases; None: by device, cores and memory."""
    overwrite: bool = False
    """Throw an earlier training of this fold away, once: what the same request began is gone on with."""
    reading: Reading = Reading()
    """How to read the dataset, where it has to be planned first; a plan that stands has its own."""
    init: Path | None = None
    """Weights that encoder and bottleneck start from: a file, or the folder of a trained fold or model."""
    track: tuple[str, ...] = ()
    """Trackers that get the history as well, of `steps.trackers.TRACKERS`."""

    @property
    def planning(self) -> PlanRequest:
        """What is planned for where there is no plan."""
        return PlanRequest(budget_s=self.budget_s, device=self.device, reading=self.reading, epochs=self.epochs)


@dataclass(frozen=True)
class Trained:
    """A trained fold."""

    folder: Path
    metrics: dict[str, Any] | None
    """What metrics.json holds; None where the fold has no validation cases."""


def train_folds(
    dataset: Path, folds: str, runs: Path, request: TrainRequest, *, progress: Progress | None = None
) -> Iterator[Trained]:
    """Train the folds that `folds` names, one after another; yields each as it is done.

    They are `all` of them, one number, or `full`: a training on every case, which is not scored.

    A dataset without a plan is planned first, as `request` says. With `request.overwrite` all folds named are thrown
    away before the first is trained: folds of an earlier plan would else stand in the way. Repeated after a stop, it
    keeps those that it has trained. Raises as `train_fold` and `plan_dataset` do.
    """
    numbers = _asked_folds(dataset, folds, runs, request, progress or Silent())
    for number in numbers:
        yield train_fold(dataset, number, runs, request, together=numbers, progress=progress)


def fold_commands(dataset: Path, folds: str, runs: Path, request: TrainRequest) -> list[str]:
    """A command for each fold that `folds` names, for machines that train them at the same time.

    A dataset without a plan is planned first: else the first of them to start would have to be waited for. Raises as
    `train_folds` does before it trains.
    """
    numbers = _asked_folds(dataset, folds, runs, request, Silent())
    return [train_command(dataset, number, runs, vars(request)) for number in numbers]


def _asked_folds(
    dataset: Path, folds: str, runs: Path, request: TrainRequest, progress: Progress
) -> tuple[FoldName, ...]:
    """The folds that `folds` names, of a dataset that is planned where it was not, once nothing can refuse them."""
    check_trackers(request.track)
    run = ensure_planned(dataset, runs, request.planning, progress)
    numbers = fold_numbers(folds, run)
    _check_all(dataset, run, request, numbers)
    return numbers


def _loss_of(card: ModelCard, number: FoldName, folds: Sequence[Fold], where: str, command: str) -> LossPlan:
    """The loss of a fold, or of a training on every case."""
    if isinstance(number, int):
        return fold_loss(card, number, folds[number], where, command)
    return full_loss(card, folds, where, command)


def _check_all(dataset: Path, run: RunFolder, request: TrainRequest, numbers: Sequence[FoldName]) -> None:
    """Raise `PlanError` before the first fold is trained, where it would be raised of another.

    The plan does not say by which loss one is trained, or initial weights have seen what one is judged by.
    """
    from autospine.training.initial import weights_file

    plan, folds = run.read_plan(), read_folds(run.splits)
    card, command = plan.card(request.configuration), plan_command(dataset, run.runs, run.read_request())
    for number in numbers:
        _loss_of(card, number, folds, str(run.plan), command)
    if request.init is not None and len(numbers) > 1:
        folder = weights_file(request.init).parent
        fingerprint = run.read_fingerprint() if run.fingerprint.is_file() else None
        for number in numbers:
            check_unseen(folder, plan.data.dataset, fold_of(folds, number), fingerprint)


def train_fold(
    dataset: Path,
    fold: FoldName,
    runs: Path | RunFolder,
    request: TrainRequest,
    *,
    together: tuple[FoldName, ...] = (),
    progress: Progress | None = None,
) -> Trained:
    """Train one fold, or go on with it, then predict and score its validation cases.

    `runs` holds the run folder by the dataset's name, or is that folder. `together` are the folds that one command
    trains, in their order, where that is not this one alone.

    Preparation and validation come on top of a time budget. The dataset's images are needed only where cases are not
    prepared yet. A cascade starts from the segmentations of its previous stage, of which all folds must be trained.
    What `request.overwrite` replaces, all of `together`, is removed once nothing can refuse the new training any more.
    A training of this fold that was stopped, or that has ended and is to be longer, goes on.

    Raises:
        PlanError: no plan or configuration, or what stands here was trained with another plan, split, data or time,
            or a cascade whose previous stage is not trained.
        DataError: a case cannot be read, or the folds do not fit the data.
        DeviceError: the device is not there, or its memory is too small.
        OutputError: the run folder cannot be written, or another process trains this fold.
        Stopped: the user stopped; the same call goes on.
    """
    from autospine.machine.device import resolve_device

    check_trackers(request.track)
    device, run = resolve_device(request.device), RunFolder.of(runs, dataset)
    with enough_memory(device):
        name = run.read_plan().configuration(request.configuration).name
        run.check_writable()
        folder = run.fold(name, fold)
        folders = [run.fold(name, number) for number in together or (fold,)]
        with training_alone(folder):
            opened = _open(dataset, fold, run, request, folders, device, progress or Silent())
            ready = _refuse(opened)
            with tracked(opened.training, request.track) as tracking:
                if opened.training.course == "has ended":
                    said = "by this command" if request.overwrite else "already (--overwrite trains it anew)"
                    opened.training.progress.note(f"{folder} is trained {said}")
                else:
                    _record(opened, ready, _fit(opened, ready, tracking))
                trained = _score(opened, ready)
                tracking.scored(trained.metrics)
            if folder == folders[-1]:
                settle(folders, folder)
            report_training(run, name, dataset, opened.training.progress)
            return trained


@dataclass(frozen=True)
class _Fold:
    """A fold that is to be trained, after the plan, the folds and what stands in the run folder."""

    dataset: Path
    number: FoldName
    request: TrainRequest
    card: ModelCard
    """Of the model, as planned; the training has the fold's own loss."""
    source: OutOfFold | None
    """In a cascade, which networks of the previous stage segment its cases."""
    training: Training[FoldTask]

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.training.run.model(self.training.configuration.name)


@dataclass(frozen=True)
class _Ready:
    """What a training has once nothing can refuse it any more."""

    store: Store
    seen: Sequence[dict[str, Any]]
    """The images that it will have seen."""
    write: Callable[[str, npt.NDArray[np.uint8]], None]
    """Writes the segmentation of a validation case."""


def _open(
    dataset: Path,
    number: FoldName,
    run: RunFolder,
    request: TrainRequest,
    folders: Sequence[Path],
    device: torch.device,
    progress: Progress,
) -> _Fold:
    """Read all that decides the training, and what becomes of it."""
    from autospine.training.fold import FoldTask
    from autospine.training.initial import read_initial

    plan = run.read_plan()
    planned = requested(plan, request.configuration, request.budget_s, request.epochs)
    folds = read_folds(run.splits)
    split, command = fold_of(folds, number), plan_command(dataset, run.runs, run.read_request())
    card = planned.with_loss(_loss_of(planned, number, folds, str(run.plan), command))
    configuration = card.configuration
    source = None
    if configuration.previous is not None:
        cases = (*split.train, *split.validation)
        source = find_out_of_fold(dataset, run, plan, configuration, folds, cases)
    initial = None if request.init is None else read_initial(request.init)
    task = FoldTask(card, split, None if source is None else source.stage, initial)
    identity = task.identity(stored_key(plan, configuration))
    folder, replaces = run.fold(configuration.name, number), folders if request.overwrite else ()
    course = choose_course(folder, identity, configuration.training, replaces, progress.note)
    training = Training(run, plan, task, identity, folder, replaces, course, device, progress)
    return _Fold(dataset, number, request, planned, source, training)


def _refuse(fold: _Fold) -> _Ready:
    """Ask all that may refuse the training, and make what it needs, before anything of an earlier one is removed."""
    from autospine.networks.weights import network_shapes
    from autospine.training.initial import check_fits

    training, source, task = fold.training, fold.source, fold.training.task
    run, plan, configuration, progress = training.run, training.plan, training.configuration, training.progress
    ended = training.course == "has ended"
    if not ended:
        training.check_memory()
        check_model(fold.model, training.folder, fold.card, training.course, training.replaces)
    prepare = partial(ensure_prepared, fold.dataset, run, plan, progress=progress, workers=fold.request.workers)
    store = prepare(configuration)
    weights = None if task.initial is None else task.initial.path.parent
    seen = check_cases(run, plan, fold.number, task.fold, store, weights, progress)
    if task.initial is not None:
        check_fits(network_shapes(configuration.network, configuration.patch), task.initial)
    if source is not None and not (ended and (training.folder / METRICS_FILE).exists()):
        segment_out_of_fold(source, store, partial(prepare, source.card.configuration), training.device, progress)
    folder, reading = training.folder / VALIDATION, run.read_reading()
    return _Ready(store, seen, segmentation_writer(fold.dataset, reading, folder, fold.card, progress))


def _fit(fold: _Fold, ready: _Ready, tracking: Tracking) -> FitResult:
    """Replace what stands in the way, then train."""
    from autospine.machine.device import describe_device
    from autospine.training.checkpoint import saying_what_stands
    from autospine.training.progress import Watcher

    training, dataset, run = fold.training, fold.dataset, fold.training.run
    folder, configuration, device = training.folder, training.configuration, training.device
    note = training.progress.note
    begin_in_model(fold.model, folder, fold.card, training.course, training.replaces, note)
    write_about(fold.model, about_training(run, dataset, read_about(fold.model)))
    if fold.source is not None:
        write_previous(folder, fold.source.weights)
    expected, edited = training.expectation
    if edited:
        note(edited)
    note(f"Training {configuration.name}, fold {fold.number}, on {describe_device(device, training.choice)}")
    shorter = half_hour_command(dataset, run.runs, run.read_request())
    for said in training_notes(training.task.card, expected, device, training.device_name, shorter, training.progress):
        note(said)
    again = replan_command(dataset, run.runs, run.read_request(), configuration.training.budget_s)
    pace = watch_pace(expected, configuration.training, training.device_name, again, note)
    draw = _drawing(folder)

    def on_epoch(record: EpochRecord) -> None:
        draw(record)
        tracking.on_epoch(record)

    with training.progress.task(f"Training {configuration.name} fold {fold.number}") as update:
        watcher = Watcher(
            on_start=lambda taken: note(_start_text(fold.request.init, taken)),
            on_step=shown(update, pace, watch_threads(note), watch_feeding(training.device.type, note)),
            on_epoch=on_epoch,
        )
        result = training.fit(ready.store, fold.request.workers, watcher)
    with saying_what_stands(folder):
        draw(None)
    return result


def _record(fold: _Fold, ready: _Ready, result: FitResult) -> None:
    """`run.toml`: what this fold was trained with and what it took."""
    training, configuration, split = fold.training, fold.training.configuration, fold.training.task.fold
    kept = configuration.training == training.plan.configuration(configuration.name).training
    memory_gb, device = training_memory_gb(configuration, training.machine), training.device_name
    comparisons = compare_expected(training.expectation[0], memory_gb, result, device, same_schedule=kept)
    if comparisons:
        training.progress.note(f"The plan's expectation: {describe_comparisons(comparisons)}")
    flags = {**vars(fold.request), **fold.request.reading.to_json()}
    del flags["reading"]
    sources = {"split": {"train": list(split.train), "validation": list(split.validation)}}
    more: dict[str, Any] = {"expected": {item.key: item.expected for item in comparisons}} if comparisons else {}
    more["images"] = list(ready.seen)  # what starts from these weights is not to be judged by them
    training.record(ready.store, result, flags, sources, more)


def _score(fold: _Fold, ready: _Ready) -> Trained:
    """Predict and score the validation cases, unless that is done."""
    training, task = fold.training, fold.training.task
    metrics, progress = training.folder / METRICS_FILE, training.progress
    if not task.fold.validation:
        why = "Every case was trained on" if fold.number == FULL else "This fold has no validation cases"
        progress.note(f"{why}: nothing to score")
        return Trained(training.folder, None)
    anew = not metrics.exists()
    if anew:
        start, device, evidence = time.monotonic(), training.device, dict[str, Evidence]()
        # a machine that got the prepared cases alone may be without the fingerprint
        known = training.run.read_fingerprint().subjects if training.run.fingerprint.is_file() else None
        scores = validate_fold(
            fold.model,
            fold.number,
            task.fold,
            ready.store,
            ready.write,
            device,
            progress,
            task.previous,
            known,
            evidence.__setitem__,
            evidence_temperature(fold.model),
        )
        write_evidence(training.folder, evidence)
        seconds = time.monotonic() - start
        cost = measure_fast(
            fold.model, fold.number, task.fold, ready.store, device, progress, task.previous, scores, seconds
        )
        if cost is not None:
            cost.write(training.folder)
        reading = training.run.read_reading()
        draw_validation(fold.dataset, reading, training.folder, fold.card, scores, progress)
        write_json(metrics, scores.to_json())
    _learn_promise(fold, anew=anew)
    _learn_trust(fold, ready, anew=anew)
    return Trained(training.folder, read_json(metrics))


def _learn_promise(fold: _Fold, *, anew: bool) -> None:
    """Learn what the model promises, where the fold was scored `anew` or that was missed; it takes its evidence."""
    if not (fold.training.folder / EVIDENCE).is_file():
        return
    promise = read_promise(fold.model)
    if anew or promise is None or str(fold.number) not in promise.folds:
        fold.training.progress.note(describe_promise(fit_promise(fold.model)))


def _learn_trust(fold: _Fold, ready: _Ready, *, anew: bool) -> None:
    """Learn how far levels can be trusted, where the fold was scored `anew` or that was not measured."""
    training = fold.training
    if fold.card.data.levels is None or (not anew and FoldTrust.read(training.folder) is not None):
        return
    measured = measure_trust(
        fold.model, fold.number, training.task.fold, ready.store, training.device, training.progress
    )
    if measured is not None:
        measured.write(training.folder)
        training.progress.note(describe_trust(fit_trust(fold.model)))


def _start_text(path: Path | None, taken: CarriedOver) -> str:
    """What a training starts from."""
    fresh = f"; new: {'; '.join(taken.fresh)}" if taken.fresh else ""
    return f"Starts from {path}: {taken.share:.0%} of the encoder's weights{fresh}. Decoder and heads start fresh"


def _drawing(folder: Path) -> Callable[[EpochRecord | None], None]:
    """A function that redraws `progress.png` after an epoch; None: after the last one, when the training has ended.

    Where epochs are short, most are left out: a picture takes a quarter of a second.
    """
    from autospine.report.figures import plot_history
    from autospine.training.progress import HISTORY

    history, drawn_at, current = folder / HISTORY, -math.inf, False

    def draw(record: EpochRecord | None) -> None:
        nonlocal drawn_at, current
        now = time.monotonic()
        waits = record is not None and now - drawn_at < DRAWN_EVERY_S
        if waits or (record is None and (current or not history.is_file())):
            current = False
            return
        plot_history(history, folder / "progress.png")
        drawn_at, current = now, True

    return draw
