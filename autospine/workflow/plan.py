"""`autospine plan`: a folder -> fingerprint, plan and folds in its run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autospine.data.dataset import open_dataset
from autospine.data.disk.files import atomic_path, read_text, write_json, write_text
from autospine.data.folds import Fold, write_folds
from autospine.data.structure import Dataset, Reading
from autospine.errors import PlanError
from autospine.planning.budget.fit_to_time import FEW_STEPS, SHORT, short_reason
from autospine.planning.decide.fold_loss import needs_renewal, renew_fold_losses, with_fold_losses
from autospine.planning.decide.patch_and_batch import planned_for
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.transfer import RENEWED, transfer_plan
from autospine.planning.document.expected import Estimated, write_expected
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import losses_to_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe, load_recipe
from autospine.planning.estimate.expected import estimate, renew_estimated
from autospine.planning.measured.absent import shown_by_cases, unseen_in_folds
from autospine.planning.measured.fingerprint import Fingerprint, extract_fingerprint
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import RunFolder, find_plan, planning_alone
from autospine.workflow.runs.folds import check_fit, folds_for, standing_folds
from autospine.workflow.runs.plan_command import RECIPE_FILE, half_hour_command, option_of
from autospine.workflow.steps.timing import Hardware, hardware_of, length_notes, time_plan, timed_elsewhere

NO_OPTIONS = {"recipe_choices": "content of the recipe", "files": "state of the data"}
"""What a plan answers beside options, as it is called in messages."""


@dataclass(frozen=True)
class PlanRequest:
    """What the user asked for."""

    recipe: str = "default"
    """Name of a shipped recipe or path of a recipe file."""
    memory_gb: float | None = None
    """Memory to plan for, 10^9 bytes; None: the recipe's, or else what the device has."""
    budget_s: float | None = None
    """Seconds that training may take; None: the recipe's epochs, or on a CPU what fits `default_time.DEFAULT_S`."""
    device: str = "auto"
    """Whose memory is planned for, and where the budget is measured."""
    source: Path | None = None
    """A plan to move to this dataset: its file, a folder that holds it, or a dataset planned before."""
    reading: Reading = Reading()
    """How the dataset is to be read."""
    epochs: int | None = None
    """Epochs of a training without a budget; None: the recipe's."""


@dataclass(frozen=True, kw_only=True)
class Planned(Estimated):
    """A plan with where it came from."""

    folder: RunFolder
    existed: bool
    """The plan stood there already and was left as it is."""
    notes: tuple[str, ...] = ()
    """What is to be said about it: what a training takes, what some fold does not see, where the plan was edited."""


def plan_dataset(
    path: Path,
    runs: Path,
    request: PlanRequest,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
    keep: bool = False,
    progress: Progress | None = None,
) -> Planned:
    """Read a dataset once, decide everything and write fingerprint, plan and folds.

    One process plans a dataset at a time: another waits, and says so, then finds the plan that was made. With `keep` a
    plan that stands is left as it is, whatever it answers.

    Raises:
        DataError: the dataset has errors; all of them are listed.
        PlanError: another plan stands there and `overwrite` is off, or the recipe is wrong.
        OutputError: the run folder cannot be written.
        DeviceError: the device is not there.
    """
    progress = progress or Silent()
    dataset = open_dataset(path, request.reading)
    for note in dataset.notes:
        progress.note(note)
    recipe = load_recipe(request.recipe)
    source = _source(request, runs)
    folder = RunFolder.of(runs, path)
    hardware = hardware_of(request.device)
    asked = _asked(request, recipe, source, dataset, hardware.kind)
    shorter = half_hour_command(path, folder.runs, asked)
    if not dry_run:
        folder.check_writable()
    with nullcontext() if dry_run else planning_alone(folder, progress.note):
        stands = folder.plan.exists() and not dry_run
        if stands and keep:
            return Planned(folder.read_plan(), folder=folder, existed=True)
        if stands and not overwrite:
            standing, renewed = _standing_plan(folder, asked)
            estimated, notes = renew_estimated(Estimated(standing, folder.read_expected()), hardware.machine)
            elsewhere = timed_elsewhere(estimated.expected, hardware)
            notes += (*renewed, *elsewhere, *length_notes(estimated, hardware, shorter))
            return Planned(standing, estimated.expected, folder=folder, existed=True, notes=notes)
        with progress.task("Reading the dataset") as update:
            fingerprint = extract_fingerprint(dataset, progress=counted(update))
        folds = folds_for(folder, fingerprint)
        estimated = _decide(request, recipe, source, fingerprint, hardware, progress)
        notes = (*_unseen(fingerprint, folds), *length_notes(estimated, hardware, shorter))
        plan = with_fold_losses(estimated.plan, fingerprint, folds)
        planned = Planned(plan, estimated.expected, folder=folder, existed=False, notes=notes)
        if not dry_run:
            _write(planned, fingerprint, folds, asked)
        return planned


def _decide(
    request: PlanRequest,
    recipe: Recipe,
    source: Plan | None,
    fingerprint: Fingerprint,
    hardware: Hardware,
    progress: Progress,
) -> Estimated:
    """The plan for these data, made by the recipe or moved from `source`, and fitted to the time that there is."""
    if source is None:
        memory_gb = hardware.memory_gb if recipe.memory_gb == "auto" else recipe.memory_gb
        recipe = replace(recipe, memory_gb=memory_gb if request.memory_gb is None else request.memory_gb)
        plan = _with_epochs(make_plan(fingerprint, recipe, machine=hardware.machine), recipe, request.epochs)
        why = planned_for(recipe, hardware.machine)
    else:
        plan, why = transfer_plan(source, fingerprint, recipe), RENEWED
    estimated = estimate(plan, hardware.machine, why)
    given = source is not None or request.epochs is not None or recipe.epochs != "auto"
    return time_plan(
        estimated, fingerprint, recipe, request.budget_s, request.device, length_given=given, progress=progress
    )


def ensure_planned(dataset: Path, runs: Path, wanted: PlanRequest, progress: Progress) -> RunFolder:
    """The run folder of `dataset`, planned as `autospine plan` does that is asked for `wanted`.

    A plan that stands is kept, and so is one that another process is making. Raises `PlanError` where it was made with
    another reading, else as `plan_dataset`.
    """
    run = RunFolder.of(runs, dataset)
    if not run.plan.is_file():
        progress.note("This dataset has not been planned: it is now, by the default recipe")
        planned = plan_dataset(dataset, runs, wanted, keep=True, progress=progress)
        if not planned.existed:
            first, why = planned.plan.default, planned.plan.reasons.get("default", "")
            progress.note(f"Written: {planned.folder.plan}, which says why. {first} goes first: {why}")
            return run
    _check_reading(run, wanted.reading)
    return run


def _check_reading(run: RunFolder, reading: Reading) -> None:
    """How a dataset is read decides its cases and folds: those of a plan that stands are not replaced by a training.

    Raises:
        PlanError: the plan was made with another reading, or nobody knows with which.
    """
    asked = run.read_request()
    for key, wanted in reading.to_json().items():
        standing = None if asked is None else asked.get(key)
        if wanted in (None, False, standing):
            continue
        option = option_of(key)
        made = f"with {option} {standing}" if standing else f"without {option}"
        found = "it is not known how the folds were made" if asked is None else f"the folds were made {made}"
        remedy = f"leave {option} out, or run `autospine plan` with it and --overwrite"
        raise PlanError(str(run.splits), found, option if wanted is True else f"{option} {wanted}", remedy)


def _write(planned: Planned, fingerprint: Fingerprint, folds: Sequence[Fold], asked: dict[str, Any]) -> None:
    """Write all five files of a planning, none of which is ever beside those of another.

    All are on the disk under temporary names before the first takes its place. The plan goes first and comes last:
    where it stands, the rest stands too. The folds come before the fingerprint that they are compared with: stopped
    between the two, folds that were made are seen to be those of these data when the planning is repeated.
    """
    folder = planned.folder
    with ExitStack() as renamed_last_first:
        kept_plan, expected, request, measured, splits = (
            renamed_last_first.enter_context(atomic_path(path))
            for path in (folder.plan, folder.expected, folder.request, folder.fingerprint, folder.splits)
        )
        write_text(kept_plan, plan_to_toml(planned.plan))
        write_expected(expected, planned.expected)
        write_json(request, asked)
        write_json(measured, fingerprint.to_json())
        write_folds(splits, folds)
        folder.plan.unlink(missing_ok=True)


def _with_epochs(plan: Plan, recipe: Recipe, epochs: int | None) -> Plan:
    """`plan` with so many epochs in every configuration, where the user names them, and an optimiser for as many."""
    if epochs is None:
        return plan
    reasons, configurations = dict(plan.reasons), []
    for configuration in plan.configurations:
        training = replace(configuration.training, epochs=epochs)
        begins = f"{configuration.name}.training"
        reasons[f"{begins}.epochs"] = "--epochs says so"
        if recipe.optimiser == "auto" and training.steps < FEW_STEPS:
            training = replace(training, **SHORT)
            reasons |= {f"{begins}.{key}": short_reason(training.steps) for key in SHORT}
        configurations.append(replace(configuration, training=training))
    return replace(plan, configurations=tuple(configurations), reasons=reasons)


def _unseen(fingerprint: Fingerprint, folds: Sequence[Fold]) -> tuple[str, ...]:
    """What no training case of some fold shows."""
    classes = [name for name, _ in fingerprint.labels]
    return unseen_in_folds(shown_by_cases(fingerprint), fingerprint.channels, classes, enumerate(folds))


def _source(request: PlanRequest, runs: Path) -> Plan | None:
    """The plan to move; None where a plan is to be made.

    Raises:
        PlanError: it is not there, or the request asks for what a moved plan brings along.
    """
    if request.source is None:
        return None
    usual = PlanRequest()
    for key in ("recipe", "memory_gb", "budget_s", "epochs"):
        if getattr(request, key) == getattr(usual, key):
            continue  # not asked for
        option = option_of(key)
        found = f"{option} beside --from: a moved plan keeps the network, patch, batch and schedule it has"
        remedy = f"leave {option} out"
        if key in ("budget_s", "epochs"):
            remedy += f"; `autospine train` takes {option} of its own"
        raise PlanError(f"--from {request.source}", found, f"--from without {option}", remedy)
    return find_plan(request.source, runs).plan


def _asked(request: PlanRequest, recipe: Recipe, source: Plan | None, dataset: Dataset, device: str) -> dict[str, Any]:
    """Everything a plan answers: the request, the content of recipe and moved plan, the state of the data set's files.

    Sizes and times of writing stand for the content of the files: enough to see that something changed without reading
    it all again.
    """
    files = hashlib.sha256()
    for case in dataset.cases:
        for path in (*case.images, case.label):
            # a mask that is a folder of structures changes with any of them
            inside = sorted(path.iterdir()) if path is not None and path == case.label and path.is_dir() else []
            for file in (path, *inside):
                state = file.stat() if file is not None and file.exists() else None
                stamp = state and (state.st_size, state.st_mtime_ns)
                files.update(repr((case.name, case.subject, file and file.name, stamp)).encode())
    choices = hashlib.sha256(repr(recipe).encode()).hexdigest()
    moved = None if source is None else hashlib.sha256(plan_to_toml(source).encode()).hexdigest()
    file = Path(request.recipe).resolve()
    known = {"recipe": recipe.name, "recipe_choices": choices, "source": moved, "files": files.hexdigest()}
    known[RECIPE_FILE] = str(file) if file.is_file() else None
    # what stands for a device: `auto` is another on another machine, and the same as its own name on this one
    wanted = request.reading.to_json() | vars(request) | known | {"device": device}
    del wanted["reading"]  # its own keys stand first
    return wanted


def _standing_plan(folder: RunFolder, asked: dict[str, Any]) -> tuple[Plan, tuple[str, ...]]:
    """The plan that stands in `folder`, where it answers the same request, and what is to be said of it.

    Its numbers may have been edited by hand, and so may the folds: the losses of the folds are renewed in the file.
    """
    plan, standing = folder.read_plan(), folder.read_request()
    if standing is None:
        standing = asked
    # where a recipe lies says nothing; what it holds is compared
    compared = [key for key in asked if key != RECIPE_FILE]
    different = [NO_OPTIONS.get(key, option_of(key)) for key in compared if standing.get(key) != asked[key]]
    if different:
        found = f"a plan stands here that was made with another {', '.join(different)}"
        remedy = "run plan with --overwrite to replace it, with --explain to see it, or give another --runs"
        raise PlanError(str(folder.plan), found, "the same request as before", remedy)
    folds = standing_folds(folder)
    if not folder.fingerprint.exists():
        if not needs_renewal(plan, folds):
            return plan, (f"{folder.fingerprint} is not there: what some fold does not see is not known",)
        found = "is not there: the losses of the folds cannot be worked out without it"
        raise PlanError(str(folder.fingerprint), found, "the file that plan wrote", "run plan with --overwrite")
    fingerprint = folder.read_fingerprint()
    check_fit(folds, fingerprint, folder)
    renewed, notes = renew_fold_losses(plan, fingerprint, folds)
    if renewed != plan:
        write_text(folder.plan, losses_to_toml(renewed, read_text(folder.plan, PlanError)))
    return renewed, (*notes, *_unseen(fingerprint, folds))
