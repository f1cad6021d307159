"""`autospine train`: prepare, fit, then predict and score the fold's validation cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.data.files import read_json, write_json
from autospine.data.folds import Fold, read_folds
from autospine.data.structure import Reading
from autospine.planning.decide.fold_loss import fold_loss
from autospine.planning.document.model import write_previous
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.edited import check_memory, renew_expected
from autospine.planning.estimate.memory import training_memory_gb
from autospine.preprocessing.store import Store, stored_key
from autospine.workflow.plan import PlanRequest, ensure_planned
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs.folder import METRICS, VALIDATION, RunFolder, training_alone, withdraw_results
from autospine.workflow.runs.plan_command import half_hour_command, plan_command, replan_command
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.runs.record import write_record
from autospine.workflow.runs.seen import check_cases, check_unseen
from autospine.workflow.runs.standing import begin_in_model, check_model, choose_course, settle
from autospine.workflow.steps.cascade import find_out_of_fold, segment_out_of_fold
from autospine.workflow.steps.expectation import Comparison, compare_expected, describe_comparisons
from autospine.workflow.steps.pace import shown, watch_pace, watch_threads
from autospine.workflow.steps.request import enough_memory, fold_numbers, requested
from autospine.workflow.steps.timing import training_notes
from autospine.workflow.steps.validate import segmentation_writer, validate_fold

if TYPE_CHECKING:
    import torch

    from autospine.training.epochs import FitResult
    from autospine.training.identity import Identity
    from autospine.training.initial import CarriedOver
    from autospine.training.log import EpochRecord


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
    """Train the folds that `folds` names (`all`, or one number), one after another; yields each as it is done.

    A dataset without a plan is planned first, for the reading, the device and the time budget of `request`. With
    `request.overwrite` all folds named are thrown away before the first is trained: folds of an earlier plan would
    else stand in the way of those of this one. Repeated after a stop, it keeps those that it has trained. Raises as
    `train_fold` and `plan_dataset` do.
    """
    run = ensure_planned(dataset, runs, request.planning, progress or Silent())
    numbers = fold_numbers(folds, run)
    _check_losses(dataset, run, request, numbers)
    if request.init is not None and len(numbers) > 1:
        _check_unseen_by_all(request.init, run, numbers)
    for number in numbers:
        yield train_fold(dataset, number, runs, request, together=numbers, progress=progress)


def _check_losses(dataset: Path, run: RunFolder, request: TrainRequest, numbers: Sequence[int]) -> None:
    """Raise `PlanError` where the plan does not say by which loss one of the folds is trained, before the first is."""
    card, folds = run.read_plan().card(request.configuration), read_folds(run.splits)
    command = plan_command(dataset, run, run.read_request())
    for number in numbers:
        fold_loss(card, number, folds[number], str(run.plan), command)


def _check_unseen_by_all(init: Path, run: RunFolder, numbers: Sequence[int]) -> None:
    """Raise `PlanError` where weights have seen what one of the folds is judged by, before the first is trained."""
    from autospine.training.initial import weights_file

    folder, folds, dataset = weights_file(init).parent, read_folds(run.splits), run.read_plan().data.dataset
    fingerprint = run.read_fingerprint() if run.fingerprint.is_file() else None
    for number in numbers:
        check_unseen(folder, dataset, folds[number], fingerprint)


def train_fold(
    dataset: Path,
    fold: int,
    runs: Path | RunFolder,
    request: TrainRequest,
    *,
    together: tuple[int, ...] = (),
    progress: Progress | None = None,
) -> Trained:
    """Train one fold, or go on with it, then predict and score its validation cases.

    `runs` holds the run folder by the dataset's name, or is that folder. `together` are the folds that one command
    trains, in their order, where that is not this one alone.

    Preparation and validation come on top of a time budget, which is for training alone. The dataset's
    images are needed only where cases are not prepared yet. A cascade starts from the segmentations of its
    previous stage, of which all folds must be trained. What `request.overwrite` replaces, this fold and the others of
    `together`, is removed once nothing can refuse the new training any more. A training of this fold that was stopped,
    or that has ended and is to be longer, goes on.

    Raises:
        PlanError: no plan or configuration, or what stands here was trained with another plan, split, data or time,
            or a cascade whose previous stage is not trained.
        DataError: a case cannot be read, or the folds do not fit the data.
        DeviceError: the device is not there, or its memory is too small.
        OutputError: the run folder cannot be written, or another process trains this fold.
        Stopped: the user stopped; the same call goes on.
    """
    from autospine.machine.device import resolve_device

    device = resolve_device(request.device)
    run = RunFolder.of(runs, dataset)
    with enough_memory(device):
        name = run.read_plan().configuration(request.configuration).name
        run.check_writable()
        folder = run.fold(name, fold)
        folders = [run.fold(name, number) for number in together or (fold,)]
        with training_alone(folder):
            trained = _train_fold(dataset, fold, run, request, folders, device, progress or Silent())
            if folder == folders[-1]:
                settle(folders, folder)
            return trained


def _train_fold(
    dataset: Path,
    fold: int,
    run: RunFolder,
    request: TrainRequest,
    folders: Sequence[Path],
    device: torch.device,
    progress: Progress,
) -> Trained:
    from autospine.machine.device import describe_device, device_memory_gb, step_machine
    from autospine.machine.precision import Choice
    from autospine.networks.weights import network_shapes
    from autospine.training.initial import check_fits, read_initial
    from autospine.training.loop import fit, training_identity
    from autospine.training.precision import training_precision
    from autospine.training.workers import fitting_workers

    plan = run.read_plan()
    planned = requested(plan, request.configuration, request.budget_s, request.epochs)
    # what was expected of other numbers than the plan's own is no measure of this training
    own = plan.configuration(request.configuration)
    expected, edited = renew_expected(own, run.read_expected().get(own.name), step_machine(device))
    folds = read_folds(run.splits)
    split = folds[fold]
    command = plan_command(dataset, run, run.read_request())
    trained_card = planned.with_loss(fold_loss(planned, fold, split, str(run.plan), command))
    configuration = trained_card.configuration
    folder, model = run.fold(configuration.name, fold), run.model(configuration.name)
    source = None
    if configuration.previous is not None:
        cases = (*split.train, *split.validation)
        source = find_out_of_fold(dataset, run, plan, configuration, folds, cases)
    previous = None if source is None else source.stage
    initial = None if request.init is None else read_initial(request.init)
    identity = training_identity(trained_card, stored_key(plan, configuration), split, previous, initial)
    replaces = folders if request.overwrite else ()
    course = choose_course(folder, identity, configuration.training, replaces, progress.note)
    trained, standing = course == "has ended", folder if course == "goes on" else None
    choice = Choice("float32") if trained else training_precision(configuration, standing, device, expected.device)
    machine, device_name = step_machine(device, choice.precision), describe_device(device, choice.precision)
    if not trained:
        check_memory(configuration, device_memory_gb(device), device_name, str(run.plan), machine)
        check_model(model, folder, planned, course, replaces)
    prepare = partial(ensure_prepared, dataset, run, plan, progress=progress, workers=request.workers)
    store = prepare(configuration)
    seen = check_cases(run, plan, fold, split, store, None if initial is None else initial.path.parent, progress)
    if initial is not None:
        # nothing of an earlier training is gone before these are known to fit
        check_fits(network_shapes(configuration.network, configuration.patch), initial)
    if source is not None and not (trained and (folder / METRICS).exists()):
        segment_out_of_fold(source, store, partial(prepare, source.card.configuration), device, progress)
    write = segmentation_writer(dataset, run.read_reading(), folder / VALIDATION, planned, progress)
    if trained:
        said = "by this command" if request.overwrite else "already (--overwrite trains it anew)"
        progress.note(f"{folder} is trained {said}")
    else:
        begin_in_model(model, folder, planned, course, replaces, progress.note)
        if source is not None:
            write_previous(folder, source.weights)
        if edited:
            progress.note(edited)
        progress.note(f"Training {configuration.name}, fold {fold}, on {describe_device(device, choice)}")
        shorter = half_hour_command(dataset, run, run.read_request())
        for note in training_notes(trained_card, expected, device, device_name, shorter, progress):
            progress.note(note)
        again = replan_command(dataset, run, run.read_request(), configuration.training.budget_s)
        pace = watch_pace(expected, configuration.training, device_name, again, progress.note)
        with progress.task(f"Training {configuration.name} fold {fold}") as update:
            result = fit(
                trained_card,
                store,
                split,
                folder,
                device=device,
                workers=fitting_workers(trained_card, device, request.workers, progress.note),
                previous=previous,
                initial=initial,
                precision=choice.precision,
                on_start=lambda taken: progress.note(_start_text(request.init, taken)),
                on_step=shown(update, pace, watch_threads(progress.note)),
                on_epoch=_drawing(folder),
                before_end=lambda: withdraw_results(folder),
            )
        kept = configuration.training == own.training
        memory_gb = training_memory_gb(configuration, machine)
        comparisons = compare_expected(expected, memory_gb, result, device_name, same_schedule=kept)
        if comparisons:
            progress.note(f"The plan's expectation: {describe_comparisons(comparisons)}")
        _write_run_record(folder, plan, split, store, device, request, result, identity, comparisons, seen)
    if not split.validation:
        progress.note("This fold has no validation cases: nothing to score")
        return Trained(folder, None)
    if not (folder / METRICS).exists():
        scores = validate_fold(model, fold, split, store, write, device, progress, previous)
        write_json(folder / METRICS, scores.to_json())
    return Trained(folder, read_json(folder / METRICS))


def _start_text(path: Path | None, taken: CarriedOver) -> str:
    """What a training starts from."""
    fresh = f"; new: {'; '.join(taken.fresh)}" if taken.fresh else ""
    return f"Starts from {path}: {taken.share:.0%} of the encoder's weights{fresh}. Decoder and heads start fresh"


def _drawing(folder: Path) -> Callable[[EpochRecord], None]:
    """A function that redraws `progress.png` after an epoch."""
    from autospine.report.figures import plot_history

    return lambda record: plot_history(folder / "history.csv", folder / "progress.png")


def _write_run_record(
    folder: Path,
    plan: Plan,
    split: Fold,
    store: Store,
    device: torch.device,
    request: TrainRequest,
    result: FitResult,
    identity: Identity,
    comparisons: Sequence[Comparison],
    seen: Sequence[dict[str, Any]],
) -> None:
    """`run.toml`: what this fold was trained with and what it took; where it stands, the training has ended."""
    flags = {**vars(request), **request.reading.to_json()}
    del flags["reading"]
    sources = {
        "split": {"train": list(split.train), "validation": list(split.validation)},
        "data": {"dataset": plan.data.dataset, "fingerprint": plan.fingerprint_hash, "prepared": store.key},
    }
    more: dict[str, Any] = {}
    if comparisons:
        more["expected"] = {item.key: item.expected for item in comparisons}
    more["images"] = list(seen)  # what starts from these weights is not to be judged by them
    write_record(folder, identity, flags, sources, device, result, more)
