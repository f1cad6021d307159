"""The run folders of a study's arms: begun once, and checked whenever they are used.

Each is a run folder like a dataset's, with a plan of one configuration, beside `arm.json`, which says what it was begun
for and is written last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from autospine.data.disk.files import json_digest, read_json, write_json, write_text
from autospine.data.folds import Fold, read_folds, write_folds
from autospine.data.structure import Reading
from autospine.errors import AutospineError, DataError, PlanError
from autospine.machine.device import describe_device, device_memory_gb, step_machine
from autospine.planning.document.convert import to_table
from autospine.planning.document.expected import Expectations, write_expected
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml
from autospine.planning.estimate.expected import check_memory
from autospine.planning.measured.fingerprint import Fingerprint, extract_fingerprint
from autospine.study.arms import Arm, arm_expected, arm_plan
from autospine.training.pretrain import block_edges
from autospine.workflow.progress import Progress, counted
from autospine.workflow.runs.folder import METRICS_FILE, RunFolder, alone, planning_alone, read_record, remove_training

STAMP = "arm.json"


@dataclass(frozen=True)
class Base:
    """What all arms of a study start from."""

    dataset: Path
    run: RunFolder
    """Of the dataset."""
    plan: Plan
    expected: Expectations
    folds: tuple[Fold, ...]

    def home(self, study: Path, arm: Arm) -> RunFolder:
        """The run folder of an arm."""
        return RunFolder(study / arm.folder, lender=self.run.root)


def check_arms(arms: Sequence[Arm], where: Path, device: torch.device) -> None:
    """Nothing, where `device` can train all arms; before the first is trained.

    Raises:
        PlanError: lists every arm that does not fit the memory, or whose patch is too small for masked blocks.
    """
    wrong = []
    memory_gb, name, machine = device_memory_gb(device), describe_device(device), step_machine(device)
    for arm in arms:
        try:
            check_memory(arm.configuration, memory_gb, name, str(where), machine)
            if arm.pretraining == "masked":
                block_edges(arm.configuration)
        except PlanError as fault:
            wrong.append(f"{arm.name}: {fault.found}")
    if wrong:
        remedy = "leave these arms out, or plan for less memory and begin again"
        raise PlanError(str(where), "\n".join(wrong), "arms that this device can train", remedy)


def stands(arm: Arm, home: RunFolder, base: Base) -> bool:
    """Whether the arm has been begun as it is asked for.

    Raises:
        PlanError: it was begun with another plan, split or number of steps, or its plan was edited since.
    """
    stamp = home.root / STAMP
    if not stamp.is_file():
        return False
    found = ""
    if read_json(stamp, PlanError).get("digest") != _digest(arm, base):
        found = "this arm was begun with another plan, split or number of steps"
    elif replace(home.read_plan(), reasons={}) != replace(
        arm_plan(base.plan, arm, home.read_fingerprint(), read_folds(home.splits)), reasons={}
    ):
        found = f"{home.plan.name} of this arm was edited: it would differ in more than it should"
    if found:
        remedy = "ask for the same again, replace it with --overwrite, or give the study a --name of its own"
        raise PlanError(str(home.root), found, "the same as before", remedy)
    return True


def begin(arm: Arm, home: RunFolder, base: Base, device: torch.device, progress: Progress, *, overwrite: bool) -> None:
    """Write the run folder of an arm, unless it stands; with `overwrite` one that was begun otherwise is replaced.

    Raises:
        PlanError: as `stands`.
        OutputError: it cannot be written, or replaced, for another process trains in it.
    """
    with planning_alone(home, progress.note):
        try:
            if stands(arm, home, base):
                return
        except AutospineError:
            if not overwrite:
                raise
            for lock in sorted(home.root.glob("*/.*.lock")):  # nobody trains in it
                with alone(lock, home.root, None):
                    pass
            remove_training(home.root)
        _begin(arm, home, base, device, progress)


def _begin(arm: Arm, home: RunFolder, base: Base, device: torch.device, progress: Progress) -> None:
    """Write the run folder of an arm, what says that it stands last."""
    reading, fingerprint = base.run.read_reading(), base.run.read_fingerprint()
    if arm.channels and arm.channels != base.plan.data.channels:
        reading, fingerprint = _narrowed(arm, reading, fingerprint, base.dataset, progress)
    held = {case.case for case in fingerprint.cases}
    kept = [
        Fold(*(tuple(name for name in part if name in held) for part in (fold.train, fold.validation)))
        for fold in base.folds
    ]
    write_json(home.fingerprint, fingerprint.to_json())
    write_folds(home.splits, kept)
    write_json(home.request, reading.to_json())
    plan = arm_plan(base.plan, arm, fingerprint, kept)
    write_expected(home.expected, arm_expected(plan, base.expected.get(base.plan.default), step_machine(device)))
    write_text(home.plan, plan_to_toml(plan))
    write_json(home.root / STAMP, {"arm": arm.name, "what": arm.what, "digest": _digest(arm, base)})


def check_split(arm: Arm, home: RunFolder, chosen: Sequence[int]) -> None:
    """Raise `DataError` where a fold of an arm has nothing to train on."""
    folds = read_folds(home.splits)
    empty = [str(fold) for fold in chosen if not folds[fold].train]
    if empty:
        found = f"no case to train on in fold(s) {', '.join(empty)}: none has {' or '.join(arm.channels)}"
        raise DataError(f"arm {arm.name}", found, "a case in each fold", "leave the arm or the folds out")


def is_done(arm: Arm, home: RunFolder, fold: int) -> bool:
    """Whether this training has ended and its validation cases are scored, where the arm has any of them."""
    folder = home.fold(arm.configuration.name, fold)
    if read_record(folder) is None:
        return False
    return (folder / METRICS_FILE).is_file() or not read_folds(home.splits)[fold].validation


def _narrowed(
    arm: Arm, reading: Reading, fingerprint: Fingerprint, dataset: Path, progress: Progress
) -> tuple[Reading, Fingerprint]:
    """How an arm with some of the channels reads the data, and their fingerprint; cases without any are left out."""
    from autospine.data.dataset import open_dataset

    several = replace(reading, channels=arm.channels)
    if any(case.missing for case in fingerprint.cases):
        several = replace(several, allow_missing=True)
    with progress.task(f"Reading the dataset for arm {arm.name}") as update:
        return several, extract_fingerprint(open_dataset(dataset, several), progress=counted(update))


def _digest(arm: Arm, base: Base) -> str:
    """Hash of what an arm is: its numbers, data and split."""
    numbers = to_table([base.plan.data, arm.configuration])
    split = [[fold.train, fold.validation] for fold in base.folds]
    return json_digest([numbers, arm.channels, arm.pretraining, base.plan.fingerprint_hash, split])
