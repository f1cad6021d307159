"""`autospine study`: the arms of a study trained on one split, then compared and written down.

    runs/<dataset>/studies/<name>/
        prepared/<key>/                     what arms share that are prepared alike
        <arm>/                              a run folder: plan.toml, splits.json, <configuration>/fold_<k>/ ...
        report.md  report.html  study.json  summary.csv  scores.csv  differences.png  sizes.png

Each arm and fold is a training of its own: what is done is not done again, and several machines that share the folder
may each train some (`--only ARM:FOLD`).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autospine.data.disk.files import read_json
from autospine.data.folds import read_folds
from autospine.errors import PlanError
from autospine.evaluation.arm_scores import gather_scores, tally_lesions
from autospine.planning.document.expected import Expectations
from autospine.planning.document.plan import Plan
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.report.wording import verdict
from autospine.study.arms import (
    Arm,
    Pretraining,
    StudyKind,
    ablation_arms,
    dimension_arms,
    made_equal,
    patch_arms,
    planned_steps,
    sequence_arms,
)
from autospine.study.folders import Base, begin, check_arms, check_split, is_done, stands
from autospine.study.report import ArmRecord, StudyReport, study_material, write_study
from autospine.workflow.plan import ensure_planned
from autospine.workflow.pretrain import PretrainRequest, pretrain_images
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.report import report_study
from autospine.workflow.runs.folder import METRICS_FILE, RunFolder, read_record
from autospine.workflow.steps.trackers import check_trackers
from autospine.workflow.train import TrainRequest, train_fold

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
    """Throw arms away that were begun with another plan, split or number of steps; with `only` that training too."""
    train: TrainRequest = TrainRequest()
    """Device and workers; budget and reading where the dataset has to be planned first; trackers of all."""


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
    from autospine.machine.device import resolve_device

    check_trackers(request.train.track)
    progress, device = progress or Silent(), resolve_device(request.train.device)
    name = request.name or request.kind
    if name in (".", "..") or Path(name).name != name:
        raise PlanError(f"--name {name}", "not the name of a folder", "a name without / in it", "give another")
    run = _planned(dataset, runs, request.train, progress)
    base = Base(dataset, run, run.read_plan(), run.read_expected(), read_folds(run.splits))
    arms = planned_arms(base.plan, request, base.expected)
    chosen = _chosen_folds(request, len(base.folds))
    folder = run.root / STUDIES / name
    homes = {arm.name: base.home(folder, arm) for arm in arms}
    jobs = _chosen_jobs(request, arms, chosen)
    wanted = arms if request.only is None else [jobs[0][0]]
    if list_only:
        for arm in wanted:
            stands(arm, homes[arm.name], base)
    else:
        check_arms(wanted, run.plan, device)
        for arm in wanted:
            begin(arm, homes[arm.name], base, device, progress, overwrite=request.overwrite)
            check_split(arm, homes[arm.name], chosen)
        again = request.overwrite and request.only is not None
        left = [(arm, fold) for arm, fold in jobs if again or not is_done(arm, homes[arm.name], fold)]
        if left:
            progress.note(f"{len(left)} training(s) of {arms[0].configuration.training.steps} steps each")
        for arm, fold in left:
            progress.note(f"Arm {arm.name}, fold {fold}: {arm.what}")
            _train(arm, fold, dataset, homes[arm.name], replace(request.train, overwrite=again), progress)
    missing = tuple((arm.name, fold) for fold in chosen for arm in arms if not is_done(arm, homes[arm.name], fold))
    if request.only is not None:
        return Study(folder, None, missing)
    # folds that an earlier call has trained belong to the study as well
    done = [fold for fold in range(len(base.folds)) if all(is_done(arm, homes[arm.name], fold) for arm in arms)]
    if not done:
        return Study(folder, None, missing)
    commands = tuple(only_command(command, *job) for job in missing)
    report = _report(request, arms, homes, run.read_fingerprint(), done, commands)
    written = write_study(report, folder)
    report_study(study_material(report), folder, progress)
    return Study(folder, written, missing, tuple(verdict(one) for one in report.overall))


def _planned(dataset: Path, runs: Path, request: TrainRequest, progress: Progress) -> RunFolder:
    """The run folder of the dataset, planned where it is not.

    Raises:
        PlanError: a plan stands that was made for another time than the one asked for.
    """
    run = RunFolder.of(runs, dataset)
    if run.plan.is_file() and request.budget_s is not None:
        made_for = (run.read_request() or {}).get("budget_s")
        if made_for != request.budget_s:
            found = f"a plan that was made {'without a budget' if made_for is None else f'for {made_for:g} s'}"
            remedy = "leave --budget out; --steps says how long a training is"
            raise PlanError(str(run.plan), found, f"one made for {request.budget_s:g} s", remedy)
    return ensure_planned(dataset, runs, request.planning, progress)


def _train(arm: Arm, fold: int, dataset: Path, home: RunFolder, request: TrainRequest, progress: Progress) -> None:
    """Train one fold of an arm, pretrained first on the images that this fold trains on where the arm is."""
    wanted = replace(request, configuration=arm.configuration.name, budget_s=None)
    if arm.pretraining == "masked":
        images = PretrainRequest(
            wanted.configuration, fold, device=wanted.device, workers=wanted.workers, track=wanted.track
        )
        wanted = replace(wanted, init=pretrain_images([dataset], dataset, home, images, progress=progress).folder)
    train_fold(dataset, fold, home, wanted, progress=progress)


def only_command(command: str, arm: str, fold: int) -> str:
    """`command` for one arm and fold."""
    return f"{command} --only {shlex.quote(f'{arm}:{fold}')}"


def planned_arms(plan: Plan, request: StudyRequest, expected: Expectations) -> tuple[Arm, ...]:
    """The arms of the study, made equal.

    Raises:
        PlanError: as the functions of `study.arms`.
    """
    configuration = plan.configuration(request.configuration)
    match request.kind:
        case "ablation":
            arms = ablation_arms(plan.card(request.configuration), request.arms)
        case "sequences":
            arms = sequence_arms(plan, configuration, request.arms)
        case "dimensions":
            arms = dimension_arms(plan, request.arms)
            configuration = arms[0].configuration
        case "patches":
            arms = patch_arms(configuration, tuple(_size(name) for name in request.arms), request.pretraining)
    steps = planned_steps(configuration.training, expected.get(configuration.name))
    return made_equal(arms, request.steps or steps)


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise PlanError("--sizes", f"{text!r}", "edges in voxels, such as 64,96,128", "correct the number")
    return int(text)


def _chosen_folds(request: StudyRequest, count: int) -> tuple[int, ...]:
    chosen = request.folds if request.folds is not None else tuple(range(count))
    unknown = [fold for fold in chosen if fold not in range(count)]
    if unknown or not chosen:
        raise PlanError("--folds", ", ".join(map(str, unknown)) or "none", f"numbers from 0 to {count - 1}")
    return tuple(dict.fromkeys(chosen))


def _chosen_jobs(request: StudyRequest, arms: Sequence[Arm], folds: Sequence[int]) -> list[tuple[Arm, int]]:
    """The trainings that are asked for."""
    jobs = [(arm, fold) for fold in folds for arm in arms if request.only in (None, (arm.name, fold))]
    if request.only is not None and not jobs:
        names = ", ".join(arm.name for arm in arms)
        expected = f"one of {names}, then : and one of {', '.join(map(str, folds))}"
        raise PlanError(f"--only {request.only[0]}:{request.only[1]}", "no such arm and fold", expected)
    return jobs


def _report(
    request: StudyRequest,
    arms: Sequence[Arm],
    homes: dict[str, RunFolder],
    fingerprint: Fingerprint,
    whole: Sequence[int],
    commands: tuple[str, ...],
) -> StudyReport:
    """Compare the arms on the folds `whole`, which every one of them has been trained on."""
    tables: dict[str, list[dict[str, Any]]] = {arm.name: [] for arm in arms}
    classes: list[str] = []
    hardware: dict[str, None] = {}
    records = []
    for arm in arms:
        home, took = homes[arm.name], []
        for fold in whole:
            place = home.fold(arm.configuration.name, fold)
            record = read_record(place) or {}
            if (place / METRICS_FILE).is_file():
                scored = read_json(place / METRICS_FILE, PlanError)
                tables[arm.name] += scored["cases"]
                classes = classes or list(scored["classes"])
            hardware[str(record.get("hardware", {}).get("device", ""))] = None
            took.append(record.get("result", {}))
        records.append(_record(arm, took, len(home.read_fingerprint().cases)))
    title, question = QUESTIONS[request.kind]
    scores = gather_scores(tables, classes, fingerprint.subjects)
    left = {case.case for case in fingerprint.cases} & {case["case"] for cases in tables.values() for case in cases}
    unpaired = len(left) - scores.cases
    notes = (f"{unpaired} case(s) that some arm could not be scored on are left out of all.",) if unpaired else ()
    return StudyReport(
        title=f"{title}: {fingerprint.dataset}",
        question=question,
        arms=tuple(records),
        scores=scores,
        folds=tuple(whole),
        missing=commands,
        hardware=", ".join(name for name in hardware if name),
        notes=notes,
        lesions=tally_lesions(tables, classes),
    )


def _record(arm: Arm, took: Sequence[dict[str, Any]], cases: int) -> ArmRecord:
    """What an arm was, with the means of what its trainings took."""
    import torch

    from autospine.networks.unet import UNet

    with torch.device("meta"):
        network = UNet(arm.configuration.network, arm.configuration.patch)
    timed = [float(result["seconds_per_step"]) for result in took if "seconds_per_step" in result]
    weights = sum(part.numel() for part in network.parameters())
    return ArmRecord(arm, weights, cases, sum(timed) / len(timed) if timed else None)
