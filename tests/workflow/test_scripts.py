"""Autospine inside another program: a script without a guard, a session without a file, a process or a thread."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WORK = """
import multiprocessing
import sys
from pathlib import Path

dataset, recipe, runs, started = map(Path, sys.argv[1:])
with started.open("a") as file:
    file.write("begun\\n")

multiprocessing.set_start_method("spawn")  # as on macOS and Windows, for the processes that build batches

from autospine.data.dataset import open_dataset
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.preprocessing import fill
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.train import TrainRequest, train_fold

fill.bounded_workers = lambda *_: 2


def work():
    planned = plan_dataset(dataset, runs, PlanRequest(str(recipe), device="cpu"))
    assert extract_fingerprint(open_dataset(dataset), workers=2) == planned.folder.read_fingerprint()
    trained = train_fold(dataset, 0, runs, TrainRequest("2d", device="cpu", workers=1))
    assert trained.metrics is not None
"""
THREAD = """
import threading
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
DAEMON = """
process = multiprocessing.get_context("fork").Process(target=work, daemon=True)
process.start()
process.join()
sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("place", ["script", "standard input", "thread", "daemonic process"])
def test_autospine_works_inside_another_program(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, place: str
) -> None:
    """Once, and with the files that a command writes."""
    if place == "daemonic process" and os.name != "posix":
        pytest.skip("forks a process")
    call = {"thread": THREAD, "daemonic process": DAEMON}.get(place, "\nwork()\n")
    source = WORK + call
    script, started = tmp_path / "mine.py", tmp_path / "started"
    script.write_text(source)
    arguments = (toy_dataset, toy_recipe, tmp_path / "runs", started)
    # a notebook and an interactive session have no file to run again either
    words, given = (["-"], source) if place == "standard input" else ([str(script)], "")
    done = subprocess.run(
        [sys.executable, *words, *map(str, arguments)], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert started.read_text() == "begun\n"
    assert (tmp_path / "runs" / "toy" / "2d" / "fold_0" / "model.safetensors").is_file()
    assert (tmp_path / "runs" / "toy" / "2d" / "fold_0" / "metrics.json").is_file()
