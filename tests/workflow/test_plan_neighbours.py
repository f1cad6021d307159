"""Plannings beside each other, and plannings that are stopped: the files of a plan are always of one planning."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autospine.data.disk import files
from autospine.data.folds import read_folds
from autospine.errors import OutputError, PlanError
from autospine.inference.loading import folds_with
from autospine.planning.document.model_file import WEIGHTS
from autospine.workflow import plan as workflow_plan
from autospine.workflow.plan import Planned, PlanRequest, ensure_planned, plan_dataset
from autospine.workflow.progress import Progress
from autospine.workflow.runs.folder import RunFolder
from tests.data.disk.holding import holding
from tests.workflow.conftest import Noting

FILES = ("fingerprint.json", "splits.json", "request.json", "expected.json", "plan.toml")


TRAIN = """
import sys
from pathlib import Path
from autospine.workflow import plan
from autospine.workflow.progress import Silent
from autospine.workflow.train import TrainRequest, train_folds

class Telling(Silent):
    def note(self, text):
        print(text, flush=True)

if __name__ == "__main__":
    recipe, data, fold, runs = sys.argv[1:]
    load = plan.load_recipe
    plan.load_recipe = lambda name: load(recipe)
    list(train_folds(Path(data), fold, Path(runs), TrainRequest(device="cpu", workers=0), progress=Telling()))
"""
"""A training that plans first, by a recipe of a few seconds."""


class Killed(BaseException):
    """Ends a call where a kill would have."""


@pytest.fixture
def data(toy_dataset: Path, tmp_path: Path) -> Path:
    """The toy dataset with one case less, which can be added."""
    folder = tmp_path / "toy"
    shutil.copytree(toy_dataset, folder)
    for kind, name in (("imagesTr", "toy_05_0000.nii.gz"), ("labelsTr", "toy_05.nii.gz")):
        (folder / kind / name).rename(tmp_path / name)
    description = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(description | {"numTraining": 5}))
    return folder


def add_case(data: Path) -> None:
    for kind, name in (("imagesTr", "toy_05_0000.nii.gz"), ("labelsTr", "toy_05.nii.gz")):
        (data.parent / name).rename(data / kind / name)
    description = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps(description | {"numTraining": 6}))


def plan(data: Path, runs: Path, recipe: Path, *, progress: Progress | None = None, **more: bool) -> Planned:
    return plan_dataset(data, runs, PlanRequest(str(recipe), device="cpu"), progress=progress, **more)


def content(runs: Path) -> dict[str, bytes]:
    return {name: (runs / "toy" / name).read_bytes() for name in FILES if (runs / "toy" / name).is_file()}


def untimed(found: dict[str, bytes]) -> dict[str, bytes]:
    """Without what a step was measured to take, which differs from time to time."""
    lines = found["expected.json"].split(b"\n")
    return {**found, "expected.json": b"\n".join(line for line in lines if b"second" not in line)}


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4])
def test_overwrite_killed_between_two_files_ends_alike_when_repeated(
    data: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """The data have a case more than the plan that stands, so that every file but perhaps the times is another one."""
    runs, whole = tmp_path / "runs", tmp_path / "whole"
    plan(data, runs, toy_recipe)
    old = content(runs)
    add_case(data)
    plan(data, whole, toy_recipe)
    real, done = os.replace, []

    def replacing(source: Path, target: Path) -> None:
        if Path(target).name in FILES:
            if len(done) == kept:
                raise Killed
            done.append(target)
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", replacing)
        with pytest.raises(Killed):
            plan(data, runs, toy_recipe, overwrite=True)
    left = content(runs)
    replaced, changed = {Path(path).name for path in done}, {name for name in left if left[name] != old[name]}
    assert "plan.toml" not in left and len(done) == kept
    assert replaced - {"expected.json"} <= changed <= replaced
    plan(data, runs, toy_recipe, overwrite=True)
    assert untimed(content(runs)) == untimed(content(whole))
    assert not list((runs / "toy").glob(".tmp*"))


def test_overwrite_without_room_leaves_the_plan_that_stands(
    data: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    plan(data, runs, toy_recipe)
    old = content(runs)
    add_case(data)

    def full(path: Path, folds: object) -> None:  # the last of the four that is written
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workflow_plan, "write_folds", full)
    with pytest.raises(OutputError, match="No space left"):
        plan(data, runs, toy_recipe, overwrite=True)
    assert content(runs) == old


def test_who_plans_second_waits_and_finds_the_plan(data: Path, toy_recipe: Path, tmp_path: Path) -> None:
    """The plan is made while the second waits; it is compared as any that stands is, and a training takes it."""
    runs, progress, found = tmp_path / "runs", Noting(), list[Planned]()
    runs.mkdir()
    made = plan(data, tmp_path / "elsewhere", toy_recipe).folder

    def wait() -> None:
        found.append(plan(data, runs, toy_recipe, progress=progress))

    with holding(runs / ".toy.lock") as number:
        thread = threading.Thread(target=wait)
        thread.start()
        while not progress.notes and thread.is_alive():
            thread.join(0.05)
        assert f"in use by process {number}" in progress.notes[0] and "waiting" in progress.notes[0]
        shutil.copytree(made.root, runs / "toy")
    thread.join(60)
    assert found and found[0].existed
    with pytest.raises(PlanError, match="another --memory"):
        plan_dataset(data, runs, PlanRequest(str(toy_recipe), memory_gb=2, device="cpu"))
    assert ensure_planned(data, runs, PlanRequest(epochs=7, device="cpu"), Noting()) == RunFolder(runs / "toy")


def test_two_folds_at_once_without_a_plan_have_one(data: Path, toy_recipe: Path, tmp_path: Path) -> None:
    """Each is trained by the one plan, whose files belong together."""
    runs, logs = tmp_path / "runs", [tmp_path / "0.log", tmp_path / "1.log"]
    runs.mkdir()
    both = []
    with holding(runs / ".toy.lock"):
        for fold, log in enumerate(logs):
            words = [sys.executable, "-c", TRAIN, str(toy_recipe), str(data), str(fold), str(runs)]
            with log.open("w") as file:
                both.append(subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT))
        deadline = time.monotonic() + 120
        while not all("waiting" in log.read_text() for log in logs) and time.monotonic() < deadline:
            time.sleep(0.1)  # until both have found that there is no plan
    codes, said = [process.wait(300) for process in both], [log.read_text() for log in logs]
    assert codes == [0, 0], said
    assert sum("which says why" in text for text in said) == 1, said
    run = RunFolder(runs / "toy")
    assert folds_with(run.model(run.read_plan().default), WEIGHTS) == ("0", "1")
    assert run.read_plan().fingerprint_hash == run.read_fingerprint().hash()
    cases = {case.case for case in run.read_fingerprint().cases}
    assert {case for fold in read_folds(run.splits) for case in fold.validation} == cases
