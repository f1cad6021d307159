"""`autospine select`: of what is trained, the model or ensemble that predicts best, and what is done after it.

    each configuration, case by case out of fold     overlap, effects of steps, reliability      kept as it goes
    temperature of each                              -> calibration.json
    ensembles of two, of calibrated probabilities    overlap, effects of steps                   kept as it goes
    the choice                                       -> selection.json
    steps of postprocessing                          -> postprocessing.json

Whatever is chosen is judged on folds that had no part in choosing it. What a stop has left undone the same command
does; nothing is predicted twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from autospine.data.folds import group_cases
from autospine.data.wording import plural
from autospine.errors import PlanError
from autospine.evaluation.choice import Picked, case_dice, judge, pick
from autospine.evaluation.paired import Interval
from autospine.evaluation.reliability import Calibrated, calibrate
from autospine.planning.document.configuration import ConfigurationName
from autospine.planning.document.data import DataPlan
from autospine.planning.document.postprocessing import NOTHING, Postprocessing, write_postprocessing
from autospine.workflow.progress import Progress, Silent, counted
from autospine.workflow.runs.folder import SELECTION, RunFolder, alone
from autospine.workflow.runs.folds import standing_folds
from autospine.workflow.runs.selection import (
    Calibration,
    Candidate,
    JudgedSteps,
    MemberWeights,
    Range,
    Selection,
    write_selection,
)
from autospine.workflow.steps.effects import options
from autospine.workflow.steps.out_of_fold import Measured, Measuring, Shelf, open_speaker
from autospine.workflow.steps.request import enough_memory
from autospine.workflow.steps.trained import Trained, find_trained

if TYPE_CHECKING:
    import torch

PARTS = 5
"""Into which the subjects of a single fold are divided, so that what is judged has not chosen (ours)."""
Members = tuple[str, ...]


@dataclass(frozen=True)
class SelectRequest:
    """What the user asked for."""

    configurations: tuple[str, ...] = ()
    """Those that may be chosen; without any all that are trained."""
    device: str = "auto"
    workers: int | None = None
    """At most so many processes prepare cases that are not; None: by cores and memory."""


def select_models(
    dataset: Path, runs: Path | RunFolder, request: SelectRequest, *, progress: Progress | None = None
) -> Selection:
    """Choose among the trained configurations of a data set and ensembles of two, and write what was chosen.

    Folds need not be complete: candidates are compared on the cases that all of them have out of fold. Predictions come
    from prepared cases, so that images are needed only where these are not there.

    Raises:
        PlanError: no plan, nothing trained, folds of another plan, or no case that all candidates have out of fold.
        DataError: a case cannot be prepared, or the folds do not fit the data.
        OutputError: the run folder cannot be written.
        DeviceError: the device is not there, or its memory is too small.
    """
    from autospine.machine.device import resolve_device
    from autospine.workflow.steps.evidence import ensure_evidence

    device, run, progress = resolve_device(request.device), RunFolder.of(runs, dataset), progress or Silent()
    plan = run.read_plan()
    run.check_writable()
    with enough_memory(device), alone(run.root / ".selection.lock", run.root / SELECTION, progress.note):
        trained = find_trained(run, plan, standing_folds(run), request.configurations)
        shared = _shared(run, trained, progress)
        people = People.of(run, trained)
        measured, calibrated = _measure(dataset, run, trained, shared, people, request, device, progress)
        for one in trained:  # folds that were scored without it have it now, and can promise
            ensure_evidence(dataset, run, one.name, sorted(map(int, one.weights)), device, progress)
        return _choose(run, trained, shared, people, measured, calibrated)


@dataclass(frozen=True)
class People:
    """Who was imaged in each case, and which fold that is in."""

    subject_of: Mapping[str, str]
    fold_of: Mapping[str, int]
    """Case -> fold; a subject is in one."""

    @staticmethod
    def of(run: RunFolder, trained: Sequence[Trained]) -> People:
        """Those of a run."""
        cases = sorted({case for one in trained for case in one.fold_of})
        subjects = {case: case for case in cases}
        digests: dict[str, str] = {}
        if run.fingerprint.is_file():
            fingerprint = run.read_fingerprint()
            subjects |= {case: one for case, one in fingerprint.subjects.items() if case in subjects}
            digests = {case: one for case, one in fingerprint.digests.items() if case in subjects}
        groups = group_cases(subjects, digests)
        fold_of = {case: int(fold) for one in reversed(trained) for case, fold in one.fold_of.items()}
        first: dict[str, int] = {}
        for case in cases:
            first.setdefault(groups[case], fold_of[case])
        return People(groups, {case: first[groups[case]] for case in cases})

    def subjects(self, cases: Sequence[str]) -> list[str]:
        """Who was imaged in each of `cases`."""
        return [self.subject_of[case] for case in cases]

    def parts(self, cases: Sequence[str]) -> list[int]:
        """The part of each of `cases`: its fold, or where all are of one fold, one of those that it is divided into."""
        folds = [self.fold_of[case] for case in cases]
        if len(set(folds)) > 1:
            return folds
        place = {subject: place for place, subject in enumerate(sorted(set(self.subjects(cases))))}
        return [place[subject] % PARTS for subject in self.subjects(cases)]


def _shared(run: RunFolder, trained: Sequence[Trained], progress: Progress) -> tuple[str, ...]:
    """The cases that all configurations have out of fold; raises `PlanError` where there are none."""
    shared = set.intersection(*(set(one.fold_of) for one in trained))
    said = "; ".join(f"{one.name}: {_folds(one)}, {plural(len(one.fold_of), 'case')}" for one in trained)
    if not shared:
        found = f"no case is out of fold for all of them ({said})"
        remedy = "train the same fold of each, or name those that may be chosen with --configuration"
        raise PlanError(str(run.root), found, "cases on which candidates can be compared", remedy)
    progress.note(f"Out of fold: {said}" + ("" if len(trained) == 1 else f"; compared on {len(shared)}"))
    return tuple(sorted(shared))


def _folds(trained: Trained) -> str:
    numbers = sorted(map(int, trained.weights))
    return f"fold{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _measure(
    dataset: Path,
    run: RunFolder,
    trained: Sequence[Trained],
    shared: tuple[str, ...],
    people: People,
    request: SelectRequest,
    device: torch.device,
    progress: Progress,
) -> tuple[dict[Members, dict[str, Measured]], dict[str, Calibrated]]:
    """(members -> case -> what was measured, configuration -> its temperature)."""
    plan, folds, shelf = run.read_plan(), standing_folds(run), Shelf.of(run)
    speakers = {
        one.name: open_speaker(dataset, run, plan, one, folds, sorted(one.fold_of), device, progress, request.workers)
        for one in trained
    }
    pairs = list(combinations(speakers, 2))
    total = sum(len(one.fold_of) for one in trained) + len(pairs) * len(shared)
    with progress.task("Segmenting each case by networks that did not train on it") as update:
        measuring = Measuring(speakers, shelf, shared if pairs else (), counted(update))
        single = measuring.alone(total)
        calibrated = {name: _calibrate(cases, people) for name, cases in single.items()}
        temperatures = {name: _temperatures(calibrated[name], single[name], people) for name in single}
        together = measuring.together(pairs, temperatures, total - len(pairs) * len(shared), total)
    shelf.clear()
    measured: dict[Members, dict[str, Measured]] = {(name,): cases for name, cases in single.items()}
    return measured | together, calibrated


def _calibrate(measured: Mapping[str, Measured], people: People) -> Calibrated:
    """The temperature of a configuration."""
    cases = [case for case, one in measured.items() if one.reliability is not None]
    said = [one.reliability for one in measured.values() if one.reliability is not None]
    return calibrate(said, people.subjects(cases), people.parts(cases))


def _temperatures(calibrated: Calibrated, cases: Mapping[str, Measured], people: People) -> dict[str, float]:
    """Case -> the temperature that the cases of other parts choose; 1 where calibrating does not help."""
    parts = people.parts(list(cases))
    return {
        case: calibrated.of_part[part] if calibrated.helps else 1.0 for case, part in zip(cases, parts, strict=True)
    }


def _choose(
    run: RunFolder,
    trained: Sequence[Trained],
    shared: Sequence[str],
    people: People,
    measured: Mapping[Members, Mapping[str, Measured]],
    calibrated: Mapping[str, Calibrated],
) -> Selection:
    """Choose by what was measured, and write all of it."""
    candidates = list(measured)
    dice = np.stack(
        [case_dice(np.stack([measured[one][case].figures.overlaps for case in shared])) for one in candidates]
    )
    picked = pick(dice, list(map(len, candidates)), people.subjects(shared), people.parts(shared))
    chosen = candidates[picked.candidate]
    data = trained[0].card.data
    judged = {one: judge_steps(measured[one], data, people) for one in candidates if one == chosen or len(one) == 1}
    selection = Selection(
        _names(chosen),
        _known(picked.compared[picked.candidate].dice.mean),
        len(shared),
        _range(picked.unseen),
        _candidates(candidates, picked),
        judged[chosen],
        tuple(_calibration(name, one) for name, one in calibrated.items()),
        tuple(
            MemberWeights(_names((one.name,))[0], fold, digest)
            for one in trained
            for fold, digest in one.weights.items()
        ),
    )
    for one in trained:
        _write_model(one.folder, calibrated[one.name], postprocessing_of(judged[one.name,]))
    write_postprocessing(run.root, postprocessing_of(judged[chosen]) if len(chosen) > 1 else NOTHING)
    write_selection(run.root, selection)  # last: where it stands, all that it speaks of is there
    return selection


def _write_model(folder: Path, calibrated: Calibrated, postprocessing: Postprocessing) -> None:
    """Write beside a model what its own cases said of it: all that belongs to a single model folder is written here."""
    from autospine.inference.calibration import write_temperature
    from autospine.workflow.steps.promise import fit_promise

    write_temperature(folder, calibrated.temperature if calibrated.helps else 1.0)
    write_postprocessing(folder, postprocessing)
    # of what the networks say, whatever is done after
    fit_promise(folder)


def judge_steps(measured: Mapping[str, Measured], data: DataPlan, people: People) -> tuple[JudgedSteps, ...]:
    """What may be done to each structure after a candidate, and what it is worth on cases that did not choose it.

    Structures to which nothing that was tried adds are left out. All of them together are looked at where nothing is
    removed of any by itself.
    """
    cases = list(measured)
    figures = [measured[case].figures for case in cases]
    overlaps = np.stack([one.overlaps for one in figures])
    before, nothing = case_dice(overlaps), np.zeros((overlaps.shape[1], 2), np.int64)
    found = list[JudgedSteps]()
    for row, structure in enumerate((*data.targets, None)):
        if structure is None and any(one.used and one.steps[-1].kind != "fill" for one in found):
            continue
        differences, listed = [], options(structure)
        for option in range(len(listed)):
            changed = overlaps.copy()
            changed[..., :2] += np.stack([one.effects.get((row, option), nothing) for one in figures])
            differences.append(case_dice(changed) - before)
        judged = judge(np.stack(differences), people.subjects(cases), people.parts(cases))
        if judged.option is not None:
            found.append(JudgedSteps(listed[judged.option], _range(judged.gain), judged.helps))
    return tuple(found)


def postprocessing_of(judged: Sequence[JudgedSteps]) -> Postprocessing:
    """The steps that are used: holes are filled first, as they were when components were looked at."""
    used = [step for one in judged if one.used for step in one.steps]
    return Postprocessing(tuple(sorted(used, key=lambda step: (step.kind != "fill", step.structure is None))))


def _candidates(members: Sequence[Members], picked: Picked) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            _names(own),
            _range(compared.dice),
            None if compared.difference is None else _range(compared.difference),
            compared.better or compared.worse,
            at == picked.candidate,
        )
        for at, (own, compared) in enumerate(zip(members, picked.compared, strict=True))
    )


def _calibration(name: str, found: Calibrated) -> Calibration:
    return Calibration(
        _names((name,))[0],
        found.temperature,
        _known(found.ece_before),
        _known(found.ece_after),
        found.nll_before,
        found.nll_after,
        found.helps,
    )


def _names(members: Sequence[str]) -> tuple[ConfigurationName, ...]:
    """Names of configurations, which a plan has checked."""
    return tuple(cast(ConfigurationName, name) for name in members)


def _range(found: Interval) -> Range:
    return Range(_known(found.mean), _known(found.low), _known(found.high), found.subjects)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
