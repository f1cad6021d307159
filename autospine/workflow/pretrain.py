"""`autospine pretrain`: images without masks teach a planned network's encoder, which `train --init` starts from.

runs/<dataset>/pretrained/<configuration>[_fold_<k>]/   model.safetensors  training.ckpt  history.csv  run.toml
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autospine.data.dataset import open_dataset
from autospine.data.folds import Fold, read_folds
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.preprocessing.images import prepare_images
from autospine.preprocessing.keys import images_key, images_name
from autospine.preprocessing.store import Store
from autospine.workflow.plan import PlanRequest, ensure_planned
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.asked_again import choose_course, mark_begun, settle
from autospine.workflow.runs.folder import RunFolder, remove_training, training_alone
from autospine.workflow.runs.folds import check_fit
from autospine.workflow.runs.plan_command import RUNS
from autospine.workflow.runs.prepared import check_unused
from autospine.workflow.steps.pretraining_images import Chosen, Found, choose_images, open_all
from autospine.workflow.steps.request import enough_memory, requested
from autospine.workflow.steps.trackers import check_trackers
from autospine.workflow.steps.tracking import Tracking, tracked
from autospine.workflow.steps.training import Training

if TYPE_CHECKING:
    from autospine.training.pretrain import MaskedTask
    from autospine.training.progress import FitProgress, FitResult


@dataclass(frozen=True)
class PretrainRequest:
    """What the user asked for; fields without a word are as those of `train.TrainRequest`, for a pretraining."""

    configuration: str | None = None
    fold: int | None = None
    """The fold that the weights are for; None: any."""
    budget_s: float | None = None
    epochs: int | None = None
    device: str = "auto"
    workers: int | None = None
    overwrite: bool = False
    track: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pretrained:
    """Weights to start from."""

    folder: Path
    next_command: str
    """The training that starts from them, as a user types it."""


def pretrain_images(
    paths: Sequence[Path],
    dataset: Path,
    runs: Path | RunFolder,
    request: PretrainRequest,
    *,
    progress: Progress | None = None,
) -> Pretrained:
    """Pretrain the network that is planned for `dataset` on the images at `paths`, or go on with it.

    A dataset without a plan is planned first, as `request` says. What a fold is judged by is left out, as
    `steps.pretraining_images` says, and noted. Preparation comes on top of a time budget.

    Raises:
        PlanError: a configuration or fold that is not there, a cascade, or another pretraining that stands here.
        DataError: images that cannot be used, all of them; or none is left to learn from.
        DeviceError: the device is not there, or its memory is too small.
        OutputError: the run folder cannot be written.
        Stopped: the user stopped; the same call goes on.
    """
    from autospine.machine.device import resolve_device

    check_trackers(request.track)
    device, run, tell = resolve_device(request.device), RunFolder.of(runs, dataset), progress or Silent()
    with enough_memory(device):
        plan, task, chosen = _open(paths, dataset, run, request, tell)
        configuration = task.card.configuration
        folder = run.pretrained(configuration.name, request.fold)
        replaces = [folder] if request.overwrite else []
        with training_alone(folder):
            identity = task.identity(images_key(plan, configuration))
            course = choose_course(folder, identity, configuration.training, replaces, tell.note)
            training = Training(run, plan, task, identity, folder, replaces, course, device, tell)
            given = {"images": [str(path) for path in paths], "dataset": dataset}
            with tracked(training, request.track) as tracking:
                if course == "has ended":
                    said = "by this command" if request.overwrite else "already (--overwrite begins anew)"
                    tell.note(f"{folder} is pretrained {said}")
                else:
                    _learn(training, chosen, request, given, tracking)
                tracking.scored(None)
            settle([folder], folder)
        return Pretrained(folder, _next_command(dataset, run.runs, plan, configuration, request.fold, folder))


def _open(
    paths: Sequence[Path], dataset: Path, run: RunFolder, request: PretrainRequest, progress: Progress
) -> tuple[Plan, MaskedTask, Chosen]:
    """What is pretrained, and the images that it may learn from; the data set is planned where it is not."""
    from autospine.training.pretrain import MaskedTask, block_edges

    found = _open_before_planning(paths, dataset, run)
    if not run.plan.is_file():
        planning = PlanRequest(budget_s=request.budget_s, device=request.device)
        ensure_planned(dataset, run.runs, planning, progress)
    plan = run.read_plan()
    card = requested(plan, request.configuration, request.budget_s, request.epochs)
    _check_configuration(card.configuration)
    block_edges(card.configuration)
    fingerprint = run.read_fingerprint()
    split = _split(run, fingerprint, request.fold)
    run.check_writable()
    with progress.task("Reading the images") as update:
        chosen = choose_images(
            found, fingerprint, request.fold, split, run.read_reading().subjects, run.digests, counted(update)
        )
    _tell(chosen, found, progress)
    return plan, MaskedTask(card, tuple(sorted(source.stored_name for source in chosen.sources))), chosen


def _learn(
    training: Training[MaskedTask],
    chosen: Chosen,
    request: PretrainRequest,
    given: Mapping[str, object],
    tracking: Tracking,
) -> None:
    """Prepare, pretrain, and put its end on record, with what was `given` beside the request."""
    store = _prepare(training, chosen, request)
    result = _fit(training, store, request, tracking)
    left_out = [{"image": image, "why": why} for image, why in chosen.left_out]
    more = {"images": [asdict(image) for image in chosen.seen], "left_out": left_out}
    flags = {**vars(request), **given}
    training.record(store, result, flags, {}, {key: held for key, held in more.items() if held})


def _prepare(training: Training[MaskedTask], chosen: Chosen, request: PretrainRequest) -> Store:
    """The prepared images; all that may refuse the pretraining is asked before anything of an earlier is removed."""
    run, plan, configuration = training.run, training.plan, training.configuration
    training.check_memory()
    name, key = images_name(plan, configuration), images_key(plan, configuration)
    root = run.stores(name, key)[-1]
    locks = [f"pretrained/.{configuration.name}.lock", f"pretrained/.{configuration.name}_fold_*"]
    check_unused(root, key, run, locks)
    with training.progress.task(f"Preparing {name}") as update:
        return prepare_images(
            chosen.sources, plan, configuration, root, workers=request.workers, progress=counted(update)
        )


def _fit(training: Training[MaskedTask], store: Store, request: PretrainRequest, tracking: Tracking) -> FitResult:
    """Replace what stands in the way, then pretrain."""
    from autospine.machine.device import describe_device
    from autospine.training.progress import Watcher

    name, progress = training.configuration.name, training.progress
    if request.overwrite and training.course == "begins":
        remove_training(training.folder)
    mark_begun(training.folder, training.replaces)
    where = describe_device(training.device, training.choice)
    progress.note(f"Pretraining {name} on {len(training.task.cases)} image(s), on {where}")
    with progress.task(f"Pretraining {name}") as update:
        watcher = Watcher(on_step=lambda state: update(_step_text(state), state.progress), on_epoch=tracking.on_epoch)
        return training.fit(store, request.workers, watcher)


def _open_before_planning(paths: Sequence[Path], dataset: Path, run: RunFolder) -> tuple[Found, ...]:
    """All images, before any work is done with them; raises as `open_all` does."""
    if run.plan.is_file():
        data = run.read_plan().data
        return open_all(paths, dataset, run.read_reading(), data.channels, data.optional)
    opened = open_dataset(dataset, labelled=False)
    optional = sorted({index for case in opened.cases for index in case.missing})
    return open_all(paths, dataset, run.read_reading(), opened.channels, optional)


def _check_configuration(configuration: Configuration) -> None:
    """Raise `PlanError` for a cascade: what its network takes of a previous stage is in no image."""
    if configuration.previous is not None:
        found = f"it starts from the segmentations of {configuration.previous}, which images alone do not have"
        remedy = f"pretrain its first stage: -c {configuration.previous}"
        raise PlanError(f"-c {configuration.name}", found, "a configuration that takes images alone", remedy)


def _split(run: RunFolder, fingerprint: Fingerprint, fold: int | None) -> Fold:
    """The fold that the weights are for, or one that trains on nothing where they are for any.

    Raises `PlanError` where there is none, `DataError` where a user's edits do not fit the cases and subjects.
    """
    if fold is None:
        return Fold((), tuple(case.case for case in fingerprint.cases))
    folds = read_folds(run.splits)
    if not 0 <= fold < len(folds):
        raise PlanError(f"--fold {fold}", "no such fold", f"a number from 0 to {len(folds) - 1}", "choose one of them")
    check_fit((folds[fold],), fingerprint, run)
    return folds[fold]


def _tell(chosen: Chosen, found: Sequence[Found], progress: Progress) -> None:
    """Note what is left aside or out, by reason, and channels that are taken as they stand."""
    for one in found:
        for note in one.images.dataset.notes if one.named else ():
            progress.note(f"{one.path}: {note}")
        if one.named and one.images.in_order_given:
            given = ", ".join(one.images.dataset.channels)
            progress.note(f"{one.path} calls its channels otherwise than the plan: taken in the order given, {given}")
    by_reason: dict[str, list[str]] = {}
    for image, why in chosen.left_out:
        by_reason.setdefault(why, []).append(image)
    for why, images in by_reason.items():
        progress.note(f"Left out: {', '.join(images)} ({why})")


def _next_command(
    dataset: Path, runs: Path, plan: Plan, configuration: Configuration, fold: int | None, folder: Path
) -> str:
    words = ["autospine", "train", str(dataset), str(fold or 0)]
    words += ["-c", configuration.name] if configuration.name != plan.default else []
    words += ["--init", str(folder)]
    words += ["--runs", str(runs)] if str(runs) != RUNS else []
    return shlex.join(words)


def _step_text(state: FitProgress) -> str:
    return f"step {state.step}" + ("" if state.loss is None else f", loss {state.loss:.3f}")
