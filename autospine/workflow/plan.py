"""`autospine plan`: a folder -> fingerprint, plan and folds in its run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from autospine.data.dataset import Dataset, open_dataset
from autospine.data.files import read_json, write_json, write_text
from autospine.data.folds import Fold, check_folds, group_cases, make_folds, read_folds, write_folds
from autospine.errors import DataError, PlanError
from autospine.planning.budget import default_within_budget, fit_to_budget
from autospine.planning.fingerprint import Fingerprint, extract_fingerprint
from autospine.planning.plan import Configuration, Plan
from autospine.planning.plan_file import plan_to_toml
from autospine.planning.planner import make_plan
from autospine.planning.recipe import Recipe, load_recipe
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs import RunFolder


@dataclass(frozen=True)
class PlanRequest:
    """What the user asked for."""

    recipe: str = "default"
    """Name of a shipped recipe or path of a recipe file."""
    memory_gb: float | None = None
    """Memory to plan for; None: the recipe's."""
    budget_s: float | None = None
    """Seconds that training may take; None: the recipe's epochs."""
    device: str = "auto"
    """Where the budget is measured."""
    subjects: str | None = None
    """Regular expression that finds the subject in a case's name."""


@dataclass(frozen=True)
class Planned:
    """A plan with where it came from."""

    plan: Plan
    folder: RunFolder
    existed: bool
    """The plan stood there already and was left as it is."""


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
    dataset = open_dataset(path, subjects=request.subjects)
    recipe = load_recipe(request.recipe)
    if request.memory_gb is not None:
        recipe = replace(recipe, memory_gb=request.memory_gb)
    folder = RunFolder.of(runs, path)
    if not dry_run:
        folder.check_writable()
        if folder.plan.exists() and not overwrite:
            return Planned(_standing_plan(folder, dataset, recipe, request), folder, existed=True)
    measure = _measure(request.device) if request.budget_s is not None else None

    with progress.task("Reading the dataset") as update:
        fingerprint = extract_fingerprint(dataset, progress=counted(update))
    plan = make_plan(fingerprint, recipe)
    if request.budget_s is not None and measure is not None:
        with progress.task("Measuring this machine") as update:
            plan = fit_plan_to_budget(plan, fingerprint, recipe, request.budget_s, _reporting(measure, update))
    if not dry_run:
        write_json(folder.fingerprint, fingerprint.to_json())
        write_folds(folder.splits, _folds(folder, fingerprint, progress))
        # the plan last: where it stands, the rest stands too
        write_text(folder.plan, plan_to_toml(plan))
    return Planned(plan, folder, existed=False)


def fit_plan_to_budget(
    plan: Plan,
    fingerprint: Fingerprint,
    recipe: Recipe,
    budget_s: float,
    seconds_per_step: Callable[[Configuration], float],
) -> Plan:
    """`plan` with every configuration narrowed until it fits `budget_s`."""
    reasons = dict(plan.reasons)
    configurations = []
    for configuration in plan.configurations:
        fitted, reasons = fit_to_budget(fingerprint, recipe, configuration, reasons, budget_s, seconds_per_step)
        configurations.append(fitted)
    default = plan.default
    better = default_within_budget(configurations, recipe)
    if better is not None:
        default, reasons["default"] = better
    return replace(plan, configurations=tuple(configurations), default=default, reasons=reasons)


def _folds(folder: RunFolder, fingerprint: Fingerprint, progress: Progress) -> tuple[Fold, ...]:
    """The folds that stand in `folder`, which the user may have edited, where they fit the data; else five new ones.

    Subjects, and identical images, stay together.
    """
    subjects = {case.case: case.subject for case in fingerprint.cases}
    digests = {case.case: case.digest for case in fingerprint.cases}
    if folder.splits.exists():
        try:
            folds = read_folds(folder.splits)
            check_folds(folds, subjects, group_cases(subjects, digests), str(folder.splits))
        except DataError as error:
            progress.note(f"{folder.splits} does not fit the data ({error.found}): new folds are made")
        else:
            return folds
    return make_folds(subjects, digests)


def _measure(device: str) -> Callable[[Configuration], float]:
    from autospine.networks.device import resolve_device
    from autospine.training.throughput import seconds_per_step

    resolved = resolve_device(device)
    return lambda configuration: seconds_per_step(configuration, resolved)


def _reporting(
    measure: Callable[[Configuration], float], update: Callable[[str, float], None]
) -> Callable[[Configuration], float]:
    """`measure` that shows what it found; how many candidates will be tried is not known before."""
    tried = 0

    def measured(configuration: Configuration) -> float:
        nonlocal tried
        seconds = measure(configuration)
        tried += 1
        features, patch = configuration.network.features, "x".join(map(str, configuration.patch))
        update(f"{configuration.name}: {features[0]} features, {patch}: {seconds:.2f} s a step", tried / (tried + 2))
        return seconds

    return measured


def _standing_plan(folder: RunFolder, dataset: Dataset, recipe: Recipe, request: PlanRequest) -> Plan:
    """The plan that stands in `folder`, where it answers the same request; it may have been edited by hand."""
    plan = folder.read_plan()
    budgets = {configuration.training.budget_s for configuration in plan.configurations}
    remedy = "run plan with --overwrite to replace it, or give another --runs"
    if plan.recipe != recipe.name or budgets != {request.budget_s}:
        found = f"a plan with recipe {plan.recipe} and budget {_budget_text(budgets)} stands here"
        wanted = f"recipe {recipe.name} and budget {_budget_text({request.budget_s})}"
        raise PlanError(str(folder.plan), found, wanted, remedy)
    if folder.fingerprint.is_file():
        planned = {case.case for case in Fingerprint.from_json(read_json(folder.fingerprint)).cases}
        labelled = {case.name for case in dataset.cases if case.label is not None}
        if planned != labelled:
            found = f"the plan was made from {len(planned)} cases, the dataset has {len(labelled)} with masks"
            raise PlanError(str(folder.plan), found, "the same cases", remedy)
    return plan


def _budget_text(budgets: set[float | None]) -> str:
    return " / ".join("none" if seconds is None else f"{seconds / 60:g} min" for seconds in sorted(budgets, key=str))
