"""`autospine train`: prepare, fit, then predict and score the fold's validation cases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autospine.data.files import read_json, write_json
from autospine.data.folds import Fold, check_folds, group_cases, read_folds
from autospine.data.structure import Reading
from autospine.errors import PlanError
from autospine.planning.fingerprint import Fingerprint
from autospine.planning.fold_loss import fold_loss
from autospine.planning.memory import training_memory_gb
from autospine.planning.model import WEIGHTS, ModelCard, read_model, write_model, write_previous
from autospine.planning.plan import Plan
from autospine.planning.unseen import shown_by_cases, unseen_in_folds
from autospine.planning.validate import check_memory, renew_expected_memory
from autospine.preprocessing.store import Store
from autospine.workflow.cascade import find_out_of_fold, segment_out_of_fold
from autospine.workflow.command import half_hour_command, plan_command, replan_command
from autospine.workflow.expectation import Comparison, compare_expected, describe_comparisons
from autospine.workflow.pace import shown, watch_pace, watch_threads
from autospine.workflow.plan import PlanRequest
from autospine.workflow.prepared import ensure_prepared
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.record import write_record
from autospine.workflow.request import enough_memory, plan_first, requested
from autospine.workflow.runs import RunFolder, read_record, remove_training
from autospine.workflow.seen import check_unseen, seen_images, shown_by_store, trained_images
from autospine.workflow.timing import training_notes
from autospine.workflow.validate import segmentation_writer, validate_fold

if TYPE_CHECKING:
    import torch

    from autospine.training.epochs import FitResult
    from autospine.training.initial import CarriedOver
    from autospine.training.log import EpochRecord


METRICS = "metrics.json"


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
    """Throw an earlier training of this fold away."""
    reading: Reading = Reading()
    """How to read the dataset, where it has to be planned first; a plan that stands has its own."""
    init: Path | None = None
    """Weights that encoder and bottleneck start from: a file, or the folder of a trained fold or model."""


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
    else stand in the way of those of this one. Raises as `train_fold` and `plan_dataset` do.
    """
    run = ensure_planned(dataset, runs, request, progress or Silent())
    numbers = fold_numbers(folds, dataset, runs)
    _check_losses(dataset, run, request, numbers)
    if request.init is not None and len(numbers) > 1:
        _check_unseen_by_all(request.init, run, numbers)
    for place, number in enumerate(numbers):
        later = numbers[1:] if place == 0 else ()
        yield train_fold(dataset, number, runs, request, replaced_later=later, progress=progress)


def ensure_planned(dataset: Path, runs: Path, request: TrainRequest, progress: Progress) -> RunFolder:
    """The run folder of `dataset`, planned as `autospine plan` does that is given the same reading, device and time.

    A plan that stands is kept; raises `PlanError` where it was made with another reading, else as `plan_dataset`.
    """
    run = RunFolder.of(runs, dataset)
    if run.plan.is_file():
        _check_reading(run, request.reading)
    else:
        wanted = PlanRequest(
            budget_s=request.budget_s, device=request.device, reading=request.reading, epochs=request.epochs
        )
        plan_first(dataset, runs, wanted, progress)
    return run


def _check_losses(dataset: Path, run: RunFolder, request: TrainRequest, numbers: Sequence[int]) -> None:
    """Raise `PlanError` where the plan does not say by which loss one of the folds is trained, before the first is."""
    configuration, folds = run.read_plan().configuration(request.configuration), read_folds(run.splits)
    command = plan_command(dataset, run, run.read_request())
    for number in numbers:
        fold_loss(configuration, number, folds[number], str(run.plan), command)


def _check_unseen_by_all(init: Path, run: RunFolder, numbers: Sequence[int]) -> None:
    """Raise `PlanError` where weights have seen what one of the folds is judged by, before the first is trained."""
    from autospine.training.initial import weights_file

    folder, folds, dataset = weights_file(init).parent, read_folds(run.splits), run.read_plan().dataset
    fingerprint = run.read_fingerprint() if run.fingerprint.is_file() else None
    for number in numbers:
        check_unseen(folder, dataset, folds[number], fingerprint)


def _check_reading(run: RunFolder, reading: Reading) -> None:
    """How a dataset is read decides its cases and folds: those of a plan that stands are not replaced by a training.

    Raises:
        PlanError: the plan was made with another reading, or nobody knows with which.
    """
    asked = run.read_request()
    for key, wanted in asdict(reading).items():
        standing = None if asked is None else asked.get(key)
        if wanted in (None, False, standing):
            continue
        option = f"--{key.replace('_', '-')}"
        made = f"with {option} {standing}" if standing else f"without {option}"
        found = "it is not known how the folds were made" if asked is None else f"the folds were made {made}"
        remedy = f"leave {option} out, or run `autospine plan` with it and --overwrite"
        raise PlanError(str(run.splits), found, option if wanted is True else f"{option} {wanted}", remedy)


def train_fold(
    dataset: Path,
    fold: int,
    runs: Path | RunFolder,
    request: TrainRequest,
    *,
    replaced_later: tuple[int, ...] = (),
    progress: Progress | None = None,
) -> Trained:
    """Train one fold, or go on with it, then predict and score its validation cases.

    `runs` holds the run folder by the dataset's name, or is that folder.

    Preparation and validation come on top of a time budget, which is for training alone. The dataset's
    images are needed only where cases are not prepared yet. A cascade starts from the segmentations of its
    previous stage, of which all folds must be trained. What `request.overwrite` replaces, this fold and
    `replaced_later`, is removed once nothing can refuse the new training any more.

    Raises:
        PlanError: no plan or configuration, or what stands here was trained with another plan, split, data or time,
            or a cascade whose previous stage is not trained.
        DataError: a case cannot be read, or the folds do not fit the data.
        DeviceError: the device is not there, or its memory is too small.
        OutputError: the run folder cannot be written.
        Stopped: the user stopped; the same call goes on.
    """
    from autospine.networks.device import resolve_device

    device = resolve_device(request.device)
    run = RunFolder.of(runs, dataset)
    with enough_memory(device):
        return _train_fold(dataset, fold, run, request, replaced_later, device, progress or Silent())


def _train_fold(
    dataset: Path,
    fold: int,
    run: RunFolder,
    request: TrainRequest,
    replaced_later: tuple[int, ...],
    device: torch.device,
    progress: Progress,
) -> Trained:
    from autospine.networks.device import describe_choice, describe_device, device_memory_gb, step_machine
    from autospine.networks.precision import Choice
    from autospine.networks.weights import network_shapes
    from autospine.training.initial import check_fits, read_initial
    from autospine.training.loop import fit, training_identity
    from autospine.training.precision import training_precision
    from autospine.training.workers import fitting_workers

    # what was expected of other numbers than the plan's own is no measure of this training
    plan, edits = renew_expected_memory(run.read_plan(), step_machine(device))
    planned = requested(plan, request.configuration, request.budget_s, request.epochs)
    folds = read_folds(run.splits)
    split = folds[fold]
    command = plan_command(dataset, run, run.read_request())
    configuration = replace(planned, loss=fold_loss(planned, fold, split, str(run.plan), command))
    run.check_writable()
    folder = run.fold(configuration.name, fold)
    source = None
    if configuration.previous is not None:
        cases = (*split.train, *split.validation)
        source = find_out_of_fold(dataset, run, plan, configuration, folds, cases)
    begins = request.overwrite or read_record(folder) is None
    standing = None if request.overwrite else folder
    choice = training_precision(configuration, standing, device) if begins else Choice("float32")
    machine, device_name = step_machine(device, choice.precision), describe_device(device, choice.precision)
    if begins:
        check_memory(configuration, device_memory_gb(device), device_name, str(run.plan), machine)

    card = ModelCard.from_plan(plan, planned)
    # a machine that got the prepared cases alone may be without the fingerprint
    fingerprint = run.read_fingerprint() if run.fingerprint.is_file() else None
    prepare = partial(ensure_prepared, dataset, run, plan, progress=progress, workers=request.workers)
    store = prepare(configuration)
    _check_split(run, split, store, fingerprint)
    if fingerprint is None:
        unknown = "whether a person or an image stands on both sides of"
        progress.note(f"{run.fingerprint} is not there: {unknown} fold {fold} cannot be checked")
    for note in _never_seen(plan, fold, split, store, fingerprint):
        progress.note(note)
    previous = None if source is None else source.stage
    initial = None if request.init is None else read_initial(request.init)
    seen = trained_images(plan.dataset, split, fingerprint)
    seen += [] if initial is None else seen_images(initial.path.parent)
    if initial is not None:
        for note in check_unseen(initial.path.parent, plan.dataset, split, fingerprint):
            progress.note(note)
        # nothing of an earlier training is gone before these are known to fit
        check_fits(network_shapes(configuration.network, configuration.patch), initial)
    identity = training_identity(configuration, store, split, previous, initial)
    trained = not request.overwrite and _is_trained(folder, identity)
    if source is not None and not (trained and (folder / METRICS).exists()):
        segment_out_of_fold(source, store, partial(prepare, source.configuration), device, progress)
    write = segmentation_writer(dataset, run.read_reading(), folder / "validation", card, progress)
    if trained:
        progress.note(f"{folder} is trained already (--overwrite trains it anew)")
    else:
        replaced = (fold, *replaced_later) if request.overwrite else (fold,)
        model = run.model(configuration.name)
        _check_card(model, card, replaced)
        if request.overwrite:
            for number in replaced:
                remove_training(run.fold(configuration.name, number))
        write_model(model, card)  # last: a card must never describe weights that it does not belong to
        for note in edits:
            if note.startswith(f"{configuration.name} "):
                progress.note(note)
        progress.note(f"Training {configuration.name}, fold {fold}, on {describe_choice(device, choice)}")
        shorter = half_hour_command(dataset, run, run.read_request())
        for note in training_notes(configuration, device, device_name, shorter, progress):
            progress.note(note)
        again = replan_command(dataset, run, run.read_request(), configuration.training.budget_s)
        pace = watch_pace(configuration.expected, configuration.training, device_name, again, progress.note)
        with progress.task(f"Training {configuration.name} fold {fold}") as update:
            result = fit(
                configuration,
                store,
                split,
                folder,
                classes=configuration.targets([name for name, _ in plan.labels]),
                device=device,
                workers=fitting_workers(configuration, device, request.workers, progress.note),
                previous=previous,
                initial=initial,
                precision=choice.precision,
                on_start=lambda taken: progress.note(_start_text(request.init, taken)),
                on_step=shown(update, pace, watch_threads(progress.note)),
                on_epoch=_drawing(folder),
            )
        kept = configuration.training == plan.configuration(configuration.name).training
        memory_gb = training_memory_gb(configuration, machine)
        comparisons = compare_expected(configuration.expected, memory_gb, result, device_name, same_schedule=kept)
        if comparisons:
            progress.note(f"The plan's expectation: {describe_comparisons(comparisons)}")
        (folder / METRICS).unlink(missing_ok=True)
        if source is not None:
            write_previous(folder, source.weights)
        _write_run_record(folder, plan, split, store, device, request, result, identity, comparisons, seen)
    if not split.validation:
        progress.note("This fold has no validation cases: nothing to score")
        return Trained(folder, None)
    if not (folder / METRICS).exists():
        scores = validate_fold(run.model(configuration.name), fold, split, store, write, device, progress, previous)
        write_json(folder / METRICS, scores.to_json())
    return Trained(folder, read_json(folder / METRICS))


def _start_text(path: Path | None, taken: CarriedOver) -> str:
    """What a training starts from."""
    fresh = f"; new: {'; '.join(taken.fresh)}" if taken.fresh else ""
    return f"Starts from {path}: {taken.share:.0%} of the encoder's weights{fresh}. Decoder and heads start fresh"


def _is_trained(folder: Path, identity: str) -> bool:
    """Whether this very training ran to its end in `folder`.

    Raises:
        PlanError: another one did.
    """
    record = read_record(folder)
    if record is None:
        return False
    if record.get("identity") != identity:
        found = (
            "this fold was trained with another plan, split, --budget, --epochs, --init, previous stage or other data"
        )
        raise PlanError(
            str(folder), found, "the same as now", "train with --overwrite to replace it, or use another --runs"
        )
    return True


def _check_card(folder: Path, card: ModelCard, replaced: Collection[int]) -> None:
    """Raise `PlanError` where `card` would change the meaning of folds that are trained and not `replaced`."""
    standing = {path.parent.name for path in folder.glob(f"fold_*/{WEIGHTS}")}
    others = sorted(standing - {f"fold_{fold}" for fold in replaced})
    if others and not card.takes_weights_of(read_model(folder)):
        found = f"{', '.join(others)} were trained with another plan"
        raise PlanError(str(folder), found, "folds of one plan", "remove them, or use another --runs")


def _check_split(run: RunFolder, split: Fold, store: Store, fingerprint: Fingerprint | None) -> None:
    """Raise `DataError` where a fold, which the user may have edited, does not fit the prepared cases and subjects."""
    groups = {name: name for name in store.names}
    if fingerprint is not None:
        cases = fingerprint.cases
        groups |= group_cases({case.case: case.subject for case in cases}, {case.case: case.digest for case in cases})
    check_folds((split,), store.names, groups, str(run.splits))


def _never_seen(plan: Plan, number: int, split: Fold, store: Store, fingerprint: Fingerprint | None) -> tuple[str, ...]:
    """A sentence for each channel and class that no training case of the fold has."""
    if fingerprint is not None:
        shown = shown_by_cases(fingerprint)
    else:
        shown = shown_by_store(store, split.train, len(plan.channels))
    return unseen_in_folds(shown, plan.channels, [name for name, _ in plan.labels], [(number, split)])


def fold_numbers(text: str, dataset: Path, runs: Path) -> tuple[int, ...]:
    """The folds that `text` names: `all`, or one number.

    Raises:
        PlanError: neither, or the dataset has no folds yet.
    """
    run = RunFolder.of(runs, dataset)
    run.read_plan()
    count = len(read_folds(run.splits))
    if text == "all":
        return tuple(range(count))
    if not text.isdigit() or int(text) >= count:
        raise PlanError(f"FOLD {text}", "no such fold", f"a number from 0 to {count - 1}, or all", "choose one of them")
    return (int(text),)


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
    identity: str,
    comparisons: Sequence[Comparison],
    seen: Sequence[dict[str, Any]],
) -> None:
    """`run.toml`: what this fold was trained with and what it took; where it stands, the training has ended."""
    flags = {**vars(request), **vars(request.reading)}
    del flags["reading"]
    sources = {
        "split": {"train": list(split.train), "validation": list(split.validation)},
        "data": {"dataset": plan.dataset, "fingerprint": plan.fingerprint_hash, "prepared": store.key},
    }
    more: dict[str, Any] = {}
    if comparisons:
        more["expected"] = {item.key: item.expected for item in comparisons}
    more["images"] = list(seen)  # what starts from these weights is not to be judged by them
    write_record(folder, identity, flags, sources, device, result, more)
