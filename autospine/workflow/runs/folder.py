"""Where everything of a dataset's runs lies: the one place that knows the names below `--runs`."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autospine.data.disk.files import read_json, read_text
from autospine.data.disk.locks import locked
from autospine.data.folds import FULL, FoldName
from autospine.data.structure import Reading, dataset_name
from autospine.errors import OutputError, PlanError
from autospine.planning.document.evidence import EVIDENCE
from autospine.planning.document.expected import EXPECTED, Estimated, Expectations, read_expected
from autospine.planning.document.model_file import BEST, WEIGHTS, fold_folder, read_model
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import read_plan_file
from autospine.planning.document.promise import PROMISE
from autospine.planning.document.trust import TRUST
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.workflow.runs.fast import FAST_FILE
from autospine.workflow.runs.plan_command import plan_command

PREPARED = "prepared"
RECORD = "run.toml"
"""In the folder of a fold: what it was trained with and what that took; where it stands, the training has ended."""

SELECTION = "selection.json"
"""In the run folder, where one was made: which of its models predict (`selection`)."""

METRICS_FILE = "metrics.json"
"""In the folder of a fold: its validation cases scored; written last of all."""
VALIDATION = "validation"
"""Beside it: these cases segmented."""
VALIDATION_PICTURE = "validation.png"
"""Beside it: the worst, the median and the best of them, with what is wrong."""

REMOVED = ".removed-"
"""Begins the name of a training's folder that is being removed."""


@dataclass(frozen=True)
class RunFolder:
    """The run folder of one dataset, `<runs>/<dataset>`, or of an arm of a study inside it."""

    root: Path
    lender: Path | None = None
    """Of an arm of a study: the run folder of the dataset, whose prepared cases are used where they fit."""

    @staticmethod
    def of(runs: Path | RunFolder, dataset: Path) -> RunFolder:
        """The run folder of the dataset at `dataset` in `runs`, found by its name alone; or `runs`, where it is one."""
        return runs if isinstance(runs, RunFolder) else RunFolder(runs / dataset_name(dataset))

    @property
    def runs(self) -> Path:
        """The folder that it lies in, which `--runs` names."""
        return self.root.parent

    @property
    def fingerprint(self) -> Path:
        """`fingerprint.json`."""
        return self.root / "fingerprint.json"

    @property
    def plan(self) -> Path:
        """`plan.toml`."""
        return self.root / "plan.toml"

    @property
    def expected(self) -> Path:
        """`expected.json`: what trainings by the plan are expected to take."""
        return self.root / EXPECTED

    @property
    def request(self) -> Path:
        """`request.json`: what the plan answers."""
        return self.root / "request.json"

    @property
    def contact_sheet(self) -> Path:
        """`contact_sheet.png`: the first cases with their masks."""
        return self.root / "contact_sheet.png"

    @property
    def splits(self) -> Path:
        """`splits.json`."""
        return self.root / "splits.json"

    def prepared(self, configuration: str) -> Path:
        """The store of prepared cases that goes by this name (see `store_name`)."""
        return self.root / PREPARED / configuration

    def stores(self, name: str, key: str) -> tuple[Path, ...]:
        """Where prepared cases that go by `name` and have this key may stand; they are made in the last place.

        The arms of a study share what is prepared alike, beside their folders.
        """
        if self.lender is None:
            return (self.prepared(name),)
        lent = self.lender / PREPARED
        return *(sorted(lent.iterdir()) if lent.is_dir() else ()), self.runs / PREPARED / key[:16]

    def model(self, configuration: str) -> Path:
        """The model folder of a configuration."""
        return self.root / configuration

    def fold(self, configuration: str, fold: FoldName) -> Path:
        """The folder of one trained fold."""
        return fold_folder(self.model(configuration), fold)

    def pretrained(self, configuration: str, fold: int | None) -> Path:
        """The folder of pretrained weights: for one fold, or for any."""
        return self.root / "pretrained" / (configuration if fold is None else f"{configuration}_fold_{fold}")

    @property
    def digests(self) -> Path:
        """`digests.json`: of images that pretrainings have read."""
        return self.root / "digests.json"

    def read_plan(self) -> Plan:
        """The plan that stands here.

        Raises:
            PlanError: there is none, or it is not a valid one.
        """
        if not self.plan.is_file():
            found = "this dataset has not been planned"
            raise PlanError(str(self.plan), found, remedy="run `autospine plan DATASET` first, with the same --runs")
        try:
            return read_plan_file(self.plan)
        except PlanError as error:
            request = self.read_request()
            if not error.where.endswith("key schema") or request is None:
                raise
            command = f"{plan_command(Path('DATASET'), self.runs, request)} --overwrite"
            raise PlanError(error.where, error.found, error.expected, f"plan again with `{command}`") from error

    def read_expected(self) -> Expectations:
        """What trainings by the plan were expected to take when it was made, as `read_expected` of the file."""
        return read_expected(self.expected)

    def read_fingerprint(self) -> Fingerprint:
        """The fingerprint that the plan was made from; `PlanError` where it is missing or damaged."""
        return Fingerprint.from_json(read_json(self.fingerprint, PlanError), str(self.fingerprint))

    def read_request(self) -> dict[str, Any] | None:
        """What the plan answers, as `autospine plan` was asked; None where that was not kept.

        Raises:
            PlanError: the file is not what was written there.
        """
        if not self.request.is_file():
            return None
        request = read_json(self.request, PlanError)
        if not isinstance(request, dict):
            remedy = "run plan with --overwrite"
            raise PlanError(str(self.request), "not what `autospine plan` writes there", "a table of keys", remedy)
        return request

    def read_reading(self) -> Reading:
        """How the dataset was read for the plan; the default where that was not kept.

        Raises:
            PlanError: the file is not what was written there.
        """
        try:
            return Reading.from_json(self.read_request() or {})
        except ValueError as fault:
            expected, remedy = "what `autospine plan` writes", "run plan with --overwrite"
            raise PlanError(str(self.request), str(fault), expected, remedy) from fault

    def check_writable(self) -> None:
        """Raise `OutputError` before any work where nothing can be written here; nothing is made yet."""
        there = next(path for path in (self.root, *self.root.absolute().parents) if path.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            found = "is a file" if not there.is_dir() else "cannot be written"
            raise OutputError(str(there), found, "a folder that you may write to", "choose another --runs")


def read_record(folder: Path) -> dict[str, Any] | None:
    """What `run.toml` of a fold's folder says; None where its training has not ended.

    Raises:
        PlanError: it cannot be read.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        return tomllib.loads(read_text(path, PlanError))
    except ValueError as error:
        remedy = "restore it, or give --overwrite to train anew"
        raise PlanError(str(path), f"cannot be read ({error})", "the file that train wrote", remedy) from error


def planning_alone(run: RunFolder, tell: Callable[[str], None]) -> AbstractContextManager[None]:
    """A block in which no other process plans in `run`, which need not be there; waits for one that does, and tells."""
    return alone(run.root.with_name(f".{run.root.name}.lock"), run.root, tell)


def training_alone(folder: Path) -> AbstractContextManager[None]:
    """A block in which no other process trains in `folder`; the lock lies beside it, since the folder may be removed.

    Raises:
        OutputError: another process does.
    """
    return alone(folder.with_name(f".{folder.name}.lock"), folder, None)


@contextmanager
def alone(lock: Path, where: Path, tell: Callable[[str], None] | None) -> Iterator[None]:
    """`locked`, with the lock's folder made where it is missing."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        raise OutputError(str(lock.parent), found, "a folder that you may write to", "choose another --runs") from error
    with locked(lock, where, tell):
        yield


def withdraw_results(folder: Path) -> None:
    """Remove what tells of an earlier end of the training in `folder`, before its weights are replaced.

    The record goes last: without it nothing is taken for trained, and with it all else can be made again. What the
    folds have taught together stays where this is no fold of theirs.
    """
    if folder != fold_folder(folder.parent, FULL):
        for name in (PROMISE, TRUST):
            (folder.parent / name).unlink(missing_ok=True)
    for name in (METRICS_FILE, FAST_FILE, EVIDENCE, TRUST, VALIDATION_PICTURE):
        (folder / name).unlink(missing_ok=True)
    remove_training(folder / VALIDATION)
    (folder / RECORD).unlink(missing_ok=True)


def remove_training(folder: Path) -> None:
    """Remove a training's folder; renamed first, so that an interrupted removal leaves no half of a training.

    Raises:
        OutputError: it cannot be removed.
    """
    for left in folder.parent.glob(f"{REMOVED}{folder.name}-*"):  # by an interrupted removal
        shutil.rmtree(left, ignore_errors=True)
    if folder.exists():
        doomed = folder.with_name(f"{REMOVED}{folder.name}-{os.getpid()}")
        try:
            folder.rename(doomed)
            shutil.rmtree(doomed)
        except OSError as error:
            found = f"cannot be removed ({error.strerror or error})"
            raise OutputError(str(folder), found, remedy="check the permissions of this folder") from error


def find_plan(place: Path, runs: Path) -> Estimated:
    """The plan at `place`, with what lies beside it of what it takes.

    That is a file, a folder that holds `plan.toml`, or the folder or name of a dataset below `runs`.

    Raises:
        PlanError: there is none, or it is not a valid one.
    """
    inside = RunFolder(place).plan
    path = next((path for path in (place, inside) if path.is_file()), RunFolder.of(runs, place).plan)
    if path.is_file():
        return Estimated(read_plan_file(path), read_expected(path.with_name(EXPECTED)))
    expected = f"a plan file, a folder with {path.name}, or a dataset that was planned below {runs}"
    raise PlanError(str(place), f"no plan: {path} is not there", expected, "run `autospine plan DATASET` first")


def find_model(runs: Path) -> Path:
    """The only model folder below `runs`; the previous stage of a cascade that stands there is a part of that.

    Of a run that holds a selection it is the folder of the run (`selection`). Where no fold of any model is trained to
    its end, the only one of which a fold was stopped.

    Raises:
        PlanError: none stands there, or several.
    """
    ended, stopped = (sorted({path.parents[1] for path in runs.glob(f"*/*/fold_*/{name}")}) for name in (WEIGHTS, BEST))
    found = ended or stopped
    found = sorted({folder.parent if (folder.parent / SELECTION).is_file() else folder for folder in found})
    if len(found) > 1:
        models = [folder for folder in found if not (folder / SELECTION).is_file()]
        stages = {folder.parent / (read_model(folder).configuration.previous or "") for folder in models}
        found = [folder for folder in found if folder not in stages]
    if not found:
        remedy = "train one, or name its folder with --model"
        raise PlanError(
            str(runs), "no trained model here", f"runs/<dataset>/<configuration>/fold_<k>/{WEIGHTS}", remedy
        )
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        remedy = "choose with --model, or have `autospine select DATASET` choose among those of a data set"
        raise PlanError(str(runs), f"{len(found)} models stand here: {names}", "one", remedy)
    return found[0]
