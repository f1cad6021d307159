"""`autospine study`: the arms of a study trained on one split, then compared and written down.

    runs/<dataset>/studies/<name>/
        prepared/<configuration>-<key>/     what arms share that are prepared alike
        <arm>/                              a run folder: plan.toml, splits.json, <configuration>/fold_<k>/ ...
        report.md  summary.csv  scores.csv  differences.png  sizes.png

Each arm and fold is a training of its own: what is done is not done again, and several machines that share the folder
may each train some (`--only ARM:FOLD`).
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from autospine.data.files import json_digest, read_json, write_json, write_text
from autospine.data.folds import Fold, read_folds, write_folds
from autospine.data.structure import Reading
from autospine.errors import OutputError, PlanError
from autospine.evaluation.comparison import gather_scores, tally_lesions
from autospine.planning.fingerprint import Fingerprint, extract_fingerprint
from autospine.planning.plan import Plan, configuration_to_dict
from autospine.planning.plan_file import plan_to_toml
from autospine.planning.study import (
    Arm,
    Pretraining,
    StudyKind,
    ablation_arms,
    arm_plan,
    dimension_arms,
    made_equal,
    patch_arms,
    planned_steps,
    sequence_arms,
)
from autospine.report.study import ArmRecord, StudyReport, verdict, write_study
from autospine.workflow.pretrain import PretrainRequest, pretrain_images
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs import RunFolder, read_record
from autospine.workflow.train import METRICS, TrainRequest, ensure_planned, train_fold

STUDIES = "studies"
QUESTIONS: dict[StudyKind, tuple[str, str]] = {
    "ablation": (
        "Ablation of bottleneck and loss",
        "What multi-scale feature fusion at the bottleneck and size-adaptive cross entropy are worth, each and "
        "together. Module and loss are our own definitions, after the idea of Zhang et al. 2023.",
    ),
    "sequences": (
        "Which sequences serve",
        "What each sequence is worth alone, and what they are worth together (the question of Hille et al. 2020).",
    ),
    "dimensions": (
        "Which dimension serves",
        "Slices, slices beside their neighbours, or volumes (the question of Hille et al. 2020).",
    ),
    "patches": (
        "Which patch serves",
        "Patches of several sizes, from scratch or pretrained on masked patches (after the ideas of Chen et al. 2024).",
    ),
}


@dataclass(frozen=True)
class StudyRequest:
    """What the user asked for."""

    kind: StudyKind
    arms: tuple[str, ...] = ()
    """Names of arms, inputs or dimensions, or patch sizes; none: those of the kind."""
    configuration: str | None = None
    """What is varied, a configuration of the plan; None: its default."""
    folds: tuple[int, ...] | None = None
    """Folds to train each arm on; None: all."""
    steps: int | None = None
    """Steps of each training; None: as the plan has them."""
    pretraining: tuple[Pretraining, ...] = ("none",)
    """Of a study of patches: what each patch starts from."""
    name: str | None = None
    """Folder of the study; None: its kind."""
    only: tuple[str, int] | None = None
    """Train this arm and fold alone and write no report; None: all that is missing."""
    overwrite: bool = False
    """Throw arms away that were begun with another plan, split or number of steps."""
    train: TrainRequest = TrainRequest()
    """Device and workers; budget and reading where the dataset has to be planned first."""


@dataclass(frozen=True)
class Study:
    """A study on disk."""

    folder: Path
    report: Path | None
    """The Markdown file; None where `only` was asked for, or no fold is done in every arm."""
    missing: tuple[tuple[str, int], ...]
    """Arms and folds that are not trained yet."""
    verdicts: tuple[str, ...] = ()
    """A sentence for each arm but the first."""


def run_study(
    dataset: Path,
    runs: Path,
    request: StudyRequest,
    *,
    list_only: bool = False,
    command: str = "autospine study",
    progress: Progress | None = None,
) -> Study:
    """Train what is missing of the study and write its report; with `list_only` train nothing.

    A dataset that is not planned is planned first. `command` is what was typed; with `--only ARM:FOLD` behind it, it
    stands in the report for each training that is missing.

    Raises:
        PlanError: arms or folds that there are not, or an arm that was begun with another plan, split or steps.
        As for `train_fold`, else.
    """
    progress = progress or Silent()
    standing = RunFolder.of(runs, dataset).plan
    if standing.is_file() and request.train.budget_s is not None:
        found, remedy = "--budget, and a plan that stands", "leave it out; --steps says how long a training is"
        raise PlanError(str(standing), found, "--budget for a dataset that is not planned yet", remedy)
    run = ensure_planned(dataset, runs, request.train, progress)
    plan, folds = run.read_plan(), read_folds(run.splits)
    arms = planned_arms(plan, request)
    chosen = _chosen_folds(request, len(folds))
    folder = run.root / STUDIES / (request.name or request.kind)
    homes = {arm.name: RunFolder(folder / arm.folder, lender=run.root) for arm in arms}
    jobs = [(arm, fold) for fold in chosen for arm in arms]
    if request.only is not None:
        jobs = [(arm, fold) for arm, fold in jobs if (arm.name, fold) == request.only]
        if not jobs:
            expected = f"one of {', '.join(homes)}, then : and one of {', '.join(map(str, chosen))}"
            raise PlanError(f"--only {request.only[0]}:{request.only[1]}", "no such arm and fold", expected)
    for arm in arms:
        if any(arm is wanted for wanted, _ in jobs):
            _begin(arm, homes[arm.name], run, plan, folds, dataset, request, progress)
    for arm, fold in jobs if not list_only else ():
        if _is_done(homes[arm.name], arm, fold):
            continue
        progress.note(f"Arm {arm.name}: {arm.what}")
        _train(arm, fold, dataset, homes[arm.name], request.train, progress)
    missing = tuple((arm.name, fold) for fold in chosen for arm in arms if not _is_done(homes[arm.name], arm, fold))
    if request.only is not None:
        return Study(folder, None, missing)
    commands = tuple(only_command(command, *job) for job in missing)
    report = _report(request, arms, homes, run.read_fingerprint(), chosen, missing, commands)
    if report is None:
        return Study(folder, None, missing)
    return Study(folder, write_study(report, folder), missing, tuple(verdict(one) for one in report.overall()))


def _train(arm: Arm, fold: int, dataset: Path, home: RunFolder, request: TrainRequest, progress: Progress) -> None:
    """Train one fold of an arm, pretrained first on the images that this fold trains on where the arm is."""
    wanted = replace(request, configuration=arm.configuration.name, budget_s=None)
    if arm.pretraining == "masked":
        images = PretrainRequest(wanted.configuration, fold, device=wanted.device, workers=wanted.workers)
        wanted = replace(wanted, init=pretrain_images([dataset], dataset, home, images, progress=progress).folder)
    train_fold(dataset, fold, home, wanted, progress=progress)


def only_command(command: str, arm: str, fold: int) -> str:
    """`command` for one arm and fold."""
    return f"{command} --only {shlex.quote(f'{arm}:{fold}')}"


def planned_arms(plan: Plan, request: StudyRequest) -> tuple[Arm, ...]:
    """The arms of the study, made equal.

    Raises:
        PlanError: as the functions of `planning.study`.
    """
    configuration = plan.configuration(request.configuration)
    match request.kind:
        case "ablation":
            arms = ablation_arms(configuration, *([request.arms] if request.arms else []))
        case "sequences":
            arms = sequence_arms(plan, configuration, request.arms)
        case "dimensions":
            arms = dimension_arms(plan, *([request.arms] if request.arms else []))
            configuration = arms[0].configuration
        case "patches":
            sizes = tuple(_size(name) for name in request.arms) or _sizes(configuration.patch)
            arms = patch_arms(configuration, sizes, request.pretraining)
    return made_equal(arms, request.steps or planned_steps(configuration))


def _size(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise PlanError("--sizes", f"{text!r}", "edges in voxels, such as 64,96,128", "correct the number")
    return int(text)


def _sizes(patch: Sequence[int]) -> tuple[int, ...]:
    """The patch's longest edge, three quarters of it and a half."""
    return tuple(round(max(patch) * share) for share in (0.5, 0.75, 1.0))


def _chosen_folds(request: StudyRequest, count: int) -> tuple[int, ...]:
    chosen = request.folds if request.folds is not None else tuple(range(count))
    unknown = [fold for fold in chosen if fold not in range(count)]
    if unknown or not chosen:
        raise PlanError("--folds", ", ".join(map(str, unknown)) or "none", f"numbers from 0 to {count - 1}")
    return tuple(dict.fromkeys(chosen))


def _begin(
    arm: Arm,
    home: RunFolder,
    run: RunFolder,
    plan: Plan,
    folds: Sequence[Fold],
    dataset: Path,
    request: StudyRequest,
    progress: Progress,
) -> None:
    """Write the run folder of an arm, unless it stands.

    Raises:
        PlanError: it was begun with another plan, split or number of steps.
    """
    wanted = _digest(arm, plan, folds)
    stamp = home.root / "arm.json"
    if stamp.is_file():
        if read_json(stamp, PlanError).get("digest") == wanted:
            return
        if not request.overwrite:
            found = "this arm was begun with another plan, split or number of steps"
            remedy = "ask for the same again, replace it with --overwrite, or give the study a --name of its own"
            raise PlanError(str(home.root), found, "the same as before", remedy)
        try:
            shutil.rmtree(home.root)
        except OSError as fault:
            found = f"cannot be removed ({fault.strerror or fault})"
            raise OutputError(str(home.root), found, remedy="check the permissions of this folder") from fault
    from autospine.networks.device import resolve_device, step_machine

    reading, fingerprint = run.read_reading(), run.read_fingerprint()
    if arm.channels and arm.channels != plan.channels:
        reading, fingerprint = _narrowed(arm, reading, fingerprint, dataset, progress)
    held = {case.case for case in fingerprint.cases}
    kept = [
        Fold(*(tuple(name for name in part if name in held) for part in (fold.train, fold.validation)))
        for fold in folds
    ]
    machine = step_machine(resolve_device(request.train.device))
    write_json(home.fingerprint, fingerprint.to_json())
    write_folds(home.splits, kept)
    write_json(home.request, asdict(reading))
    write_text(home.plan, plan_to_toml(arm_plan(plan, arm, fingerprint, machine)))
    write_json(stamp, {"arm": arm.name, "what": arm.what, "digest": wanted})  # last: with it the folder is whole


def _narrowed(
    arm: Arm, reading: Reading, fingerprint: Fingerprint, dataset: Path, progress: Progress
) -> tuple[Reading, Fingerprint]:
    """How an arm with some of the channels reads the data, and their fingerprint; cases without any are left out."""
    from autospine.data.dataset import open_dataset

    several = replace(reading, channels=",".join(arm.channels))
    if any(case.missing for case in fingerprint.cases):
        several = replace(several, allow_missing=True)
    with progress.task(f"Reading the dataset for arm {arm.name}") as update:
        return several, extract_fingerprint(open_dataset(dataset, several), progress=counted(update))


def _digest(arm: Arm, plan: Plan, folds: Sequence[Fold]) -> str:
    """Hash of what an arm is: its numbers, data and split; not what it is expected to take on some machine."""
    numbers = configuration_to_dict(replace(arm.configuration, expected=None))
    split = [[fold.train, fold.validation] for fold in folds]
    return json_digest([numbers, arm.channels, arm.pretraining, plan.fingerprint_hash, split])


def _is_done(home: RunFolder, arm: Arm, fold: int) -> bool:
    """Whether this training has ended and its validation cases are scored, where the arm has any of them."""
    folder = home.fold(arm.configuration.name, fold)
    if read_record(folder) is None:
        return False
    return (folder / METRICS).is_file() or not read_folds(home.splits)[fold].validation


def _report(
    request: StudyRequest,
    arms: Sequence[Arm],
    homes: dict[str, RunFolder],
    fingerprint: Fingerprint,
    chosen: Sequence[int],
    missing: Sequence[tuple[str, int]],
    commands: tuple[str, ...],
) -> StudyReport | None:
    """Compare the folds that every arm has been trained on; None where there is none."""
    whole = tuple(fold for fold in chosen if not any((arm.name, fold) in missing for arm in arms))
    if not whole:
        return None
    tables: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in arms}
    classes: list[str] = []
    hardware: dict[str, None] = {}
    records = []
    for arm in arms:
        took = []
        for fold in whole:
            place = homes[arm.name].fold(arm.configuration.name, fold)
            record = read_record(place) or {}
            if (place / METRICS).is_file():
                scored = read_json(place / METRICS, PlanError)
                tables[arm.name] += scored["cases"]
                classes = classes or list(scored["classes"])
            hardware[str(record.get("hardware", {}).get("device", ""))] = None
            took.append(record.get("result", {}))
        records.append(_record(arm, took))
    title, question = QUESTIONS[request.kind]
    scored_all = gather_scores(tables, classes, {case.case: case.subject for case in fingerprint.cases})
    left = {case.case for case in fingerprint.cases} & {case["case"] for cases in tables.values() for case in cases}
    unpaired = len(left) - scored_all.cases
    notes = (f"{unpaired} case(s) that some arm could not be scored on are left out of all.",) if unpaired else ()
    return StudyReport(
        title=f"{title}: {fingerprint.dataset}",
        question=question,
        arms=tuple(records),
        scores=scored_all,
        folds=whole,
        missing=commands,
        hardware=", ".join(name for name in hardware if name),
        notes=notes,
        lesions=tally_lesions(tables, classes),
    )


def _record(arm: Arm, took: Sequence[dict[str, Any]]) -> ArmRecord:
    """What an arm was, with the means of what its trainings took."""
    import torch

    from autospine.networks.build import build_network

    one = arm.configuration
    with torch.device("meta"):
        weights = sum(part.numel() for part in build_network(one.network, one.patch).parameters())
    timed = [float(result["seconds_per_step"]) for result in took if "seconds_per_step" in result]
    return ArmRecord(
        name=arm.name,
        what=arm.what,
        patch=one.patch,
        spacing_mm=one.spacing_mm,
        batch=one.batch,
        features=one.network.features[0],
        parameters=weights,
        steps=one.training.epochs * one.training.steps_per_epoch,
        seconds_per_step=sum(timed) / len(timed) if timed else None,
    )
