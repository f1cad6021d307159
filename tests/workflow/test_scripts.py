"""A user's script that calls autospine without `if __name__ == "__main__"`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import multiprocessing
import sys
from pathlib import Path

dataset, recipe, runs, started = map(Path, sys.argv[1:])
with started.open("a") as file:
    file.write("begun\\n")

multiprocessing.set_start_method("spawn")  # as on macOS and Windows, for the processes that build batches

from autospine.data.dataset import open_dataset
from autospine.planning.fingerprint import extract_fingerprint
from autospine.preprocessing import store
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.train import TrainRequest, train_fold

store.bounded_workers = lambda *_: 2
planned = plan_dataset(dataset, runs, PlanRequest(str(recipe), device="cpu"))
assert extract_fingerprint(open_dataset(dataset), workers=2) == planned.folder.read_fingerprint()
trained = train_fold(dataset, 0, runs, TrainRequest("2d", device="cpu", workers=1))
assert trained.metrics is not None
"""


def test_a_script_without_a_guard_is_run_once(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    script, started = tmp_path / "mine.py", tmp_path / "started"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), str(toy_dataset), str(toy_recipe), str(tmp_path / "runs"), str(started)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert started.read_text() == "begun\n"
    assert (tmp_path / "runs" / "toy" / "2d" / "fold_0" / "model.safetensors").is_file()
