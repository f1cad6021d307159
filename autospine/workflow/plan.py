"""`autospine plan`: a folder -> fingerprint, plan and folds in its run folder."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from autospine.data.dataset import open_dataset
from autospine.data.files import write_json, write_text
from autospine.data.folds import Fold, check_folds, group_cases, make_folds, read_folds, write_folds
from autospine.data.structure import Dataset, Reading
from autospine.errors import DataError, PlanError
from autospine.planning import rules
from autospine.planning.budget import fit_plan_to_budget
from autospine.planning.fingerprint import Fingerprint, extract_fingerprint
from autospine.planning.measurements import Budget, Measure
from autospine.planning.memory import Machine
from autospine.planning.plan import Configuration, Plan
from autospine.planning.plan_file import plan_to_toml
from autospine.planning.planner import make_plan
from autospine.planning.recipe import Recipe, load_recipe
from autospine.planning.transfer import transfer_plan
from autospine.planning.validate import renew_expected_memory
from autospine.workflow.documents import find_plan
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs import RunFolder

SAID = {
    "recipe": "--recipe",
    "memory_gb": "--memory",
    "budget_s": "--budget",
    "recipe_choices": "content of the recipe",
    "source": "--from",
    "files": "state of the data",
    "allow_missing": "--allow-missing",
}
"""How parts of a request are called in messages."""


@dataclass(frozen=True)
class PlanRequest:
    """What the user asked for."""

    recipe: str = "default"
    """Name of a shipped recipe or path of a recipe file."""
    memory_gb: float | None = None
    """Memory to plan for, 10^9 bytes; None: the recipe's, or else what the device has."""
    budget_s: float | None = None
    """Seconds that training may take; None: the recipe's epochs."""
    device: str = "auto"
    """Whose memory is planned for, and where the budget is measured."""
    source: Path | None = None
    """A plan to move to this dataset: its file, a folder that holds it, or a dataset planned before."""
    reading: Reading = Reading()
    """How the dataset is to be read."""


@dataclass(frozen=True)
class Planned:
    """A plan with where it came from."""

    plan: Plan
    folder: RunFolder
    existed: bool
    """The plan stood there already and was left as it is."""
    notes: tuple[str, ...] = ()
    """What is to be said about it: where it was edited, or timed on another device."""


def plan_dataset(
    path: Path,
    runs: Path,
    request: PlanRequest,
    *,
    dry_run: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Planned:
    """Read a dataset once, decide everything and write fingerprint, plan and folds.

    Raises:
        DataError: the dataset has errors; all of them are listed.
        PlanError: another plan stands there and `overwrite` is off, or the recipe is wrong.
        OutputError: the run folder cannot be written.
        DeviceError: the device is not there.
    """
    progress = progress or Silent()
    dataset = open_dataset(path, request.reading)
    recipe = load_recipe(request.recipe)
    source = None if request.source is None else _source(request, runs)
    folder = RunFolder.of(runs, path)
    hardware = _hardware(request.device)
    asked = _asked(request, recipe, source, dataset, hardware.kind)
    if not dry_run:
        folder.check_writable()
        if folder.plan.exists() and not overwrite:
            standing, notes = renew_expected_memory(_standing_plan(folder, asked), hardware.machine)
            notes += _timed_elsewhere(standing, hardware)
            return Planned(standing, folder, existed=True, notes=notes)
    measure = None if request.budget_s is None else _measure(request.device)
    with progress.task("Reading the dataset") as update:
        fingerprint = extract_fingerprint(dataset, progress=counted(update))
    if source is None:
        recipe = replace(recipe, memory_gb=_memory_gb(request, recipe, hardware))
        plan = make_plan(fingerprint, recipe, machine=hardware.machine)
    else:
        plan = transfer_plan(source, fingerprint, recipe, machine=hardware.machine)
    if request.budget_s is not None and measure is not None:
        with progress.task("Measuring this machine") as update:
            timed = _reporting(measure, [configuration.name for configuration in plan.configurations], update)
            budget = Budget(request.budget_s, timed, hardware.device, hardware.machine, _timed_on(request.device))
            plan = fit_plan_to_budget(plan, fingerprint, recipe, budget)
    if not dry_run:
        folds = _folds(folder, fingerprint)
        write_json(folder.fingerprint, fingerprint.to_json())
        write_folds(folder.splits, folds)
        write_json(folder.request, asked)
        # the plan last: where it stands, the rest stands too
        write_text(folder.plan, plan_to_toml(plan))
    return Planned(plan, folder, existed=False)


def _source(request: PlanRequest, runs: Path) -> Plan:
    """The plan to move.

    Raises:
        PlanError: it is not there, or the request asks for what a moved plan brings along.
    """
    assert request.source is not None
    for key in ("recipe", "memory_gb", "budget_s"):
        if getattr(request, key) != getattr(PlanRequest(), key):
            found = f"{SAID[key]} beside --from: a moved plan keeps the network, patch, batch and schedule it has"
            remedy = f"leave {SAID[key]} out"
            remedy += "; `autospine train` takes a --budget of its own" if key == "budget_s" else ""
            raise PlanError(f"--from {request.source}", found, f"--from without {SAID[key]}", remedy)
    return find_plan(request.source, runs)


@dataclass(frozen=True)
class _Hardware:
    """What a plan has to know of the device."""

    device: str
    """What it is called in plans."""
    names: tuple[str, ...]
    """All that it may be called there, by the precision in which a network was timed."""
    kind: str
    """`cpu` or `cuda`."""
    memory_gb: float
    """Memory to plan for, 10^9 bytes."""
    machine: Machine
    """How it computes a training step."""


def _hardware(name: str) -> _Hardware:
    """The device called `name`.

    A GPU's memory is planned for whole. A CPU shares its own with all else that runs: it is planned for as the
    reference's device, or as what the machine has where that is less.

    Raises:
        DeviceError: there is no such device.
    """
    from autospine.networks import device as devices

    device = devices.resolve_device(name)
    total = devices.device_memory_gb(device)
    if total is None:
        total = rules.DEFAULT_GB
    elif device.type != "cuda":
        total = min(total, rules.DEFAULT_GB)
    # no recipe plans for less than 1 GB, whatever the device has
    called, names = devices.describe_device(device), tuple(devices.device_names(device))
    return _Hardware(called, names, device.type, max(total, 1.0), devices.step_machine(device))


def _memory_gb(request: PlanRequest, recipe: Recipe, hardware: _Hardware) -> float:
    """Memory to plan for: what the user says, what the recipe says, or what the device has."""
    if request.memory_gb is not None:
        return request.memory_gb
    return hardware.memory_gb if recipe.memory_gb == "auto" else recipe.memory_gb


def _timed_elsewhere(plan: Plan, here: _Hardware) -> tuple[str, ...]:
    """A sentence per device other than the one `here` on which steps of `plan` were timed."""
    timed: dict[str, list[str]] = {}
    for configuration in plan.configurations:
        if configuration.expected is not None and configuration.expected.device not in (None, *here.names):
            timed.setdefault(str(configuration.expected.device), []).append(configuration.name)
    return tuple(
        f"{', '.join(names)}: timed on {other}, this is {here.device}; --overwrite plans for it"
        for other, names in timed.items()
    )


def _folds(folder: RunFolder, fingerprint: Fingerprint) -> tuple[Fold, ...]:
    """Five folds that keep subjects and identical images together; folds that the user has edited stay.

    Raises:
        DataError: edited folds do not fit the data, or leave cases out.
    """
    subjects, digests, present = _ties(fingerprint)
    made = make_folds(subjects, digests, present)
    if not folder.splits.exists() or not folder.fingerprint.exists():
        return made
    standing = read_folds(folder.splits)
    if standing == make_folds(*_ties(folder.read_fingerprint())):
        return made
    check_folds(standing, subjects, group_cases(subjects, digests), str(folder.splits))
    unused = sorted(set(subjects) - {case for fold in standing for case in (*fold.train, *fold.validation)})
    if unused:
        found = f"these edited folds leave out {', '.join(unused)}"
        raise DataError(
            str(folder.splits), found, "every case in a fold", "add them, or delete the file to have folds made"
        )
    return standing


def _ties(fingerprint: Fingerprint) -> tuple[dict[str, str], dict[str, str], dict[str, set[int]]]:
    """Subject, image digest and classes of each case."""
    cases = fingerprint.cases
    present = {case.case: {index for index, voxels in enumerate(case.class_voxels) if voxels} for case in cases}
    return {case.case: case.subject for case in cases}, {case.case: case.digest for case in cases}, present


def _measure(device: str) -> Measure:
    from autospine.networks.device import resolve_device
    from autospine.training.throughput import seconds_per_step

    resolved = resolve_device(device)
    return lambda configuration, bounds: seconds_per_step(configuration, resolved, bounds_s=bounds)


def _timed_on(device: str) -> Callable[[Configuration], tuple[str, Machine]]:
    """A function from a configuration that `_measure` has timed to what this device was called and computed then."""
    from autospine.networks.device import describe_device, resolve_device, step_machine
    from autospine.networks.precision import choose_precision

    resolved = resolve_device(device)

    def timed_on(configuration: Configuration) -> tuple[str, Machine]:
        precision = choose_precision(configuration, resolved, training=True).precision
        return describe_device(resolved, precision), step_machine(resolved, precision)

    return timed_on


def _reporting(measure: Measure, names: Sequence[str], update: Callable[[str, float], None]) -> Measure:
    """`measure` that shows what it found; how many candidates of each configuration will be tried is not known."""
    tried: Counter[str] = Counter()
    reached = 0.0

    def measured(configuration: Configuration, bounds: tuple[float, float]) -> float:
        nonlocal reached
        seconds = measure(configuration, bounds)
        name, features = configuration.name, configuration.network.features
        tried[name] += 1
        patch = "x".join(map(str, configuration.patch))
        # what goes first is measured again when all have been looked at
        reached = max(reached, (names.index(name) + tried[name] / (tried[name] + 1)) / len(names))
        found = f"{seconds:.3g} s a step" if isfinite(seconds) else "the device's memory is too small"
        update(f"{name}: {features[0]} features, {patch}: {found}", reached)
        return seconds

    return measured


def _asked(request: PlanRequest, recipe: Recipe, source: Plan | None, dataset: Dataset, device: str) -> dict[str, Any]:
    """Everything a plan answers: the request, the content of recipe and moved plan, the state of the data set's files.

    Sizes and times of writing stand for the content of the files: enough to see that something changed without reading
    it all again.
    """
    files = hashlib.sha256()
    for case in dataset.cases:
        for path in (*case.images, case.label):
            state = path.stat() if path is not None and path.exists() else None
            stamp = state and (state.st_size, state.st_mtime_ns)
            files.update(repr((case.name, case.subject, path and path.name, stamp)).encode())
    choices = hashlib.sha256(repr(recipe).encode()).hexdigest()
    moved = None if source is None else hashlib.sha256(plan_to_toml(source).encode()).hexdigest()
    known = {"recipe": recipe.name, "recipe_choices": choices, "source": moved, "files": files.hexdigest()}
    # what stands for a device: `auto` is another on another machine, and the same as its own name on this one
    wanted = asdict(request)
    return {**wanted.pop("reading"), **wanted, **known, "device": device}


def _standing_plan(folder: RunFolder, asked: dict[str, Any]) -> Plan:
    """The plan that stands in `folder`, where it answers the same request; its numbers may have been edited by hand."""
    plan = folder.read_plan()
    standing = folder.read_request()
    if standing is None:
        standing = asked
    different = [SAID.get(key, f"--{key}") for key in asked if standing.get(key) != asked[key]]
    if different:
        found = f"a plan stands here that was made with another {', '.join(different)}"
        remedy = "run plan with --overwrite to replace it, with --explain to see it, or give another --runs"
        raise PlanError(str(folder.plan), found, "the same request as before", remedy)
    if not folder.splits.exists():
        write_folds(folder.splits, make_folds(*_ties(folder.read_fingerprint())))
    return plan
