"""A machine that got the plan, the folds and the prepared cases alone can train and score."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.prepared import ensure_prepared

SCRIPT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("SimpleITK", "typer", "rich"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from autospine.workflow.train import TrainRequest, train_fold

for job in sys.argv[2:]:
    name, fold = job.split(":")
    request = TrainRequest(name, device="cpu", epochs=1, workers=1)
    trained = train_fold(Path("elsewhere/toy"), int(fold), Path(sys.argv[1]), request)
    assert trained.metrics is not None
print(trained.metrics["mean"]["dice"])
"""


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_training_and_scoring_need_no_images(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, configuration: str
) -> None:
    recipe = tmp_path / "one.toml"
    recipe.write_text(toy_recipe.read_text() + f'configurations = ["{configuration}"]\n')
    plan_dataset(toy_dataset, tmp_path / "here", PlanRequest(recipe=str(recipe)))
    run = RunFolder.of(tmp_path / "here", toy_dataset)
    plan = run.read_plan()
    ensure_prepared(toy_dataset, run, plan, plan.configuration(), Silent())
    train_elsewhere(tmp_path / "here", tmp_path / "there", f"{configuration}:0")


def test_a_cascade_needs_no_images(run: RunFolder, toy_dataset: Path, tmp_path: Path) -> None:
    plan = run.read_plan()
    for name in ("3d_lowres", "3d_cascade_fullres"):
        ensure_prepared(toy_dataset, run, plan, plan.configuration(name), Silent())
    first = (f"3d_lowres:{fold}" for fold in range(3))
    train_elsewhere(run.root.parent, tmp_path / "there", *first, "3d_cascade_fullres:0")


def train_elsewhere(here: Path, there: Path, *jobs: str) -> None:
    """Copy the runs and train each `configuration:fold` there."""
    shutil.copytree(here, there)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(there), *jobs], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 0 <= float(done.stdout) <= 1
    configuration, _, fold = jobs[-1].partition(":")
    folder = there / "toy" / configuration / f"fold_{fold}"
    assert folder.is_dir() and not (folder / "validation").exists()
