"""`autospine audit`: which training masks are likely to be wrong, by predictions that have not learnt from them.

    <run>/audit/worklist.csv          every case with an out-of-fold prediction, the most suspicious mask first
    <run>/audit/pictures/<case>.png   image, mask and prediction of the first ones
    <run>/audit/cases/<case>/         the same for 3D Slicer and ITK-SNAP (`steps.case_folders`)

Files alone are read, no network is loaded. What is measured of a case is `evaluation.disagreement`, what is unusual
about it `evaluation.suspicion`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from autospine.data.dataset import load_label, open_dataset
from autospine.data.geometry import orient_geometry
from autospine.data.made_by import MadeBy
from autospine.data.slices import slices_of
from autospine.data.structure import Case, Dataset
from autospine.data.volume import read_geometry
from autospine.data.wording import listed, plural
from autospine.errors import DataError, PlanError
from autospine.evaluation.disagreement import CaseDisagreement, Members, measure_disagreement
from autospine.evaluation.suspicion import JudgedCase, RankedCase, rank_cases
from autospine.evaluation.unusual import LEAST_OTHERS
from autospine.machine.cores import available_cores
from autospine.machine.jobs import share_out
from autospine.machine.memory import free_bytes, workers_that_fit
from autospine.planning.document.data import DataPlan
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.plan import Plan
from autospine.workflow.progress import Progress, Silent, Update, counted
from autospine.workflow.runs.folder import VALIDATION, RunFolder, alone
from autospine.workflow.steps.kept_evidence import out_of_fold_evidence, promised_out_of_fold
from autospine.workflow.steps.worklist import AUDIT, WORKLIST, ShownCase, write_shown, write_worklist

_LOCK = ".audit.lock"
_VOXEL_BYTES = 60
"""Memory that measuring a case takes for a voxel of its image: two maps as they are read, masks of them, a search."""
_PROCESS_BYTES = 250_000_000
"""An interpreter with numpy, scipy and the image reader loaded."""
_SHARE = 0.8
"""Of the free memory that is planned with."""


@dataclass(frozen=True)
class AuditRequest:
    """What the user asked for."""

    configuration: str | None = None
    """A configuration of the plan; None: its default."""
    count: int = 20
    """Cases of which pictures and folders are made."""
    workers: int | None = None
    """Processes; None: by cores and memory."""


@dataclass(frozen=True)
class Audited:
    """What was found."""

    folder: Path
    """Where it was written."""
    cases: tuple[RankedCase, ...]
    """The most suspicious mask first."""
    left_out: tuple[tuple[str, str], ...]
    """(case, why) of those that cannot be judged."""
    without: tuple[str, ...]
    """Cases that have a mask and no out-of-fold prediction."""

    @property
    def worklist(self) -> Path:
        """The table of all cases."""
        return self.folder / WORKLIST


def audit_dataset(
    dataset: Path, runs: Path | RunFolder, request: AuditRequest, *, progress: Progress | None = None
) -> Audited:
    """Rank the masks of a dataset by how far the out-of-fold predictions of its run disagree with them.

    Cases are read one at a time in each process. A mask that cannot be read, or a prediction on another grid, leaves
    its case out, with a note; so does a case of a fold that is not trained. Of two audits of a run at a time the second
    waits with what it writes.

    Raises:
        DataError: the dataset cannot be opened.
        PlanError: no plan, configuration or out-of-fold prediction, or the labels are no longer those of the plan.
        OutputError: the run folder cannot be written.
    """
    run, progress = RunFolder.of(runs, dataset), progress or Silent()
    plan = run.read_plan()
    run.check_writable()
    configuration = plan.card(request.configuration).configuration.name
    opened = open_dataset(dataset, run.read_reading())
    _check_labels(opened, plan, run)
    jobs, without = _jobs(opened, run, plan, configuration)
    if without:
        progress.note(f"Not judged, {plural(len(without), 'case')} without out-of-fold prediction: {listed(without)}")
    workers = _workers([job.case for job in jobs], request.workers)
    with progress.task("Comparing masks with out-of-fold predictions") as update:
        measured = _shared_out(jobs, workers, update, progress)
    names = [job.case.name for job in jobs]
    left_out = tuple((name, found) for name, found in zip(names, measured, strict=True) if isinstance(found, str))
    for name, why in left_out:
        progress.note(f"Left out: {name}: {why}")
    evidence = out_of_fold_evidence(run.model(configuration), progress.note)
    judged = [
        JudgedCase(
            job.case.name,
            job.case.subject or job.case.name,
            found,
            _expected(evidence.get(job.case.name), plan.data.targets),
        )
        for job, found in zip(jobs, measured, strict=True)
        if isinstance(found, CaseDisagreement)
    ]
    subjects, needed = len({one.subject for one in judged}), LEAST_OTHERS + 1
    if subjects < needed:
        progress.note(f"Nothing can be told of masks of {plural(subjects, 'subject')}: what is usual takes {needed}")
    ranked = rank_cases(judged, plan.data.targets)
    folder, made_by = run.root / AUDIT, MadeBy(f"{plan.data.dataset} {configuration}", "")
    first = [one for one in ranked if one.suspicions][: request.count]
    shown = _shown(first, jobs, plan.data, folder, made_by)
    promised = promised_out_of_fold(run.model(configuration))
    with alone(run.root / _LOCK, folder, progress.note):
        drawn = write_shown(folder, shown, workers, progress)
        write_worklist(folder, ranked, drawn, promised)
    return Audited(folder, ranked, left_out, without)


def find_predictions(run: RunFolder, configuration: str) -> dict[str, Path]:
    """Case -> its segmentation by the network of the fold that has not learnt from it; of two folds, the later file."""
    found: dict[str, Path] = {}
    for folder in sorted(run.model(configuration).glob(f"fold_*/{VALIDATION}")):
        for path in sorted(folder.glob("*.nii.gz")):
            name = path.name.removesuffix(".nii.gz")
            if name not in found or path.stat().st_mtime > found[name].stat().st_mtime:
                found[name] = path
    return found


@dataclass(frozen=True)
class _Job:
    """A case that is compared with its prediction."""

    dataset: Dataset
    """Its labels; of its cases none is needed."""
    case: Case
    prediction: Path
    members: Members


def _jobs(opened: Dataset, run: RunFolder, plan: Plan, configuration: str) -> tuple[tuple[_Job, ...], tuple[str, ...]]:
    """The cases with mask and out-of-fold prediction, and the names of those with a mask alone."""
    predictions = find_predictions(run, configuration)
    annotated = [case for case in opened.cases if case.label is not None]
    without = tuple(case.name for case in annotated if case.name not in predictions)
    if len(without) == len(annotated):
        found = f"no out-of-fold prediction of any of {plural(len(annotated), 'case')} with a mask"
        expected = f"{run.fold(configuration, 0) / VALIDATION}/<case>.nii.gz, which `train` writes"
        remedy = "train the folds first: `autospine train DATASET all`"
        raise PlanError(str(run.model(configuration)), found, expected, remedy)
    labels = replace(opened, cases=(), notes=())  # for other processes, which need no other case
    return tuple(
        _Job(labels, case, predictions[case.name], plan.data.members) for case in annotated if case.name in predictions
    ), without


def _measured(job: _Job) -> CaseDisagreement | str:
    """How a case disagrees with its prediction; why it cannot be told."""
    try:
        assert job.case.label is not None
        mask, prediction = (load_label(job.dataset, job.case, path) for path in (job.case.label, job.prediction))
        geometry = orient_geometry(read_geometry(job.case.files[0]))
        return measure_disagreement(mask, prediction, job.members, geometry.spacing_mm, slices_of(geometry))
    except DataError as fault:
        return f"{fault.where}: {fault.found}"


def _shown(
    first: Sequence[RankedCase], jobs: Sequence[_Job], data: DataPlan, folder: Path, made_by: MadeBy
) -> list[ShownCase]:
    by_name = {job.case.name: job for job in jobs}
    chosen = ((one, by_name[one.case]) for one in first)
    return [ShownCase(one, job.dataset, data, job.case, job.prediction, folder, made_by) for one, job in chosen]


def _expected(evidence: Evidence | None, names: Sequence[str]) -> tuple[float, ...]:
    """The Dice that the network expected of each structure, NaN where it found none; empty where nothing was kept."""
    if evidence is None:
        return ()
    held = (evidence.structures.get(name) for name in names)
    return tuple(math.nan if one is None or one.expected_dice is None else one.expected_dice for one in held)


def _workers(cases: Sequence[Case], asked: int | None) -> int:
    """Processes: as many as there are cores, and as fit into free memory; headers are read."""
    largest = 0
    for case in cases:
        try:
            largest = max(largest, math.prod(read_geometry(case.files[0]).shape))
        except DataError:
            continue  # whoever reads it says what is wrong
    wanted = min(asked if asked is not None else available_cores(), len(cases))
    return max(1, workers_that_fit(wanted, free_bytes() * _SHARE, largest * _VOXEL_BYTES + _PROCESS_BYTES))


def _shared_out(jobs: Sequence[_Job], workers: int, update: Update, progress: Progress) -> list[CaseDisagreement | str]:
    """What `_measured` says of each job, in their order."""
    tell, found = counted(update), dict[int, CaseDisagreement | str]()
    named = [(job.case.name, job) for job in jobs]
    with closing(share_out(_measured, named, workers, tell=progress.note)) as results:
        for place, result in results:
            found[place] = result
            tell(jobs[place].case.name, len(found), len(jobs))
    return [found[place] for place in range(len(jobs))]


def _check_labels(dataset: Dataset, plan: Plan, run: RunFolder) -> None:
    """Raise `PlanError` where the labels are no longer those that the networks have learnt."""
    now = tuple((label.name, label.value) for label in dataset.labels)
    if now != plan.data.labels:
        found, planned = (", ".join(f"{name} = {value}" for name, value in held) for held in (now, plan.data.labels))
        remedy = "plan and train again with --overwrite, or restore the labels"
        raise PlanError(str(run.plan), f"the masks have other labels now: {found}", planned, remedy)
