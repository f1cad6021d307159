"""The commands as functions: what a script gets, and that it is what the command line does."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path

import pytest

import autospine
from autospine.cli import app as commands
from autospine.errors import DataError, PlanError
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import read_plan_file

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_page_runs_as_it_stands(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spines = Path("my-spines")
    shutil.copytree(toy_dataset, spines)
    for folder, name in (("images", "toy_00_0000.nii.gz"), ("labels", "toy_00.nii.gz")):
        (spines / f"{folder}Ts").mkdir()
        shutil.copy(spines / f"{folder}Tr" / name, spines / f"{folder}Ts" / name)
    shutil.copytree(spines / "labelsTs", "segmented-before")
    example, *_ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    shorter = example.replace("budget_s=1800", f"recipe={str(toy_recipe)!r}, device='cpu'").replace(
        '"my-spines", 0', '"my-spines", 0, device="cpu", workers=0'
    )
    assert shorter.count("cpu") == 2
    got: dict[str, object] = {}
    exec(compile(shorter, str(PAGE), "exec"), got)
    runs = Path("runs") / "my-spines"
    plan, done = got["plan"], got["done"]
    assert isinstance(plan, Plan) and plan == read_plan_file(runs / "plan.toml")
    assert got["fold"].folder == runs / plan.default / "fold_0"  # type: ignore[attr-defined]
    assert done.files == (Path("segmented/toy_00.nii.gz"),) and done.left_out is None  # type: ignore[attr-defined]
    written = json.loads(Path("segmented/metrics.json").read_text())
    assert json.loads(json.dumps(got["scores"].to_json())) == written  # type: ignore[attr-defined]

    assert got["found"].arms == ("old", "new") and Path("comparison/comparison.md").is_file()  # type: ignore[attr-defined]

    # one image of two cannot be read: the other is there, and what was left out is told
    (spines / "imagesTs" / "broken_0000.nii.gz").write_bytes(b"no image")
    again = autospine.predict("my-spines/imagesTs", "again")
    assert again.files == (Path("again/toy_00.nii.gz"),)
    assert again.left_out is not None and "broken" in str(again.left_out)
    with pytest.raises(DataError, match="broken"):
        again.complete()


def test_a_time_and_epochs_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="both are given"):
        autospine.plan(tmp_path, budget_s=60, epochs=1)
    with pytest.raises(PlanError, match="both are given"):
        autospine.train(str(tmp_path), "all", budget_s=60, epochs=1)


@pytest.mark.parametrize("name", ["plan", "train", "predict", "evaluate", "compare"])
def test_defaults_are_those_of_the_command(name: str) -> None:
    called = inspect.signature(getattr(autospine, name)).parameters
    command = inspect.signature(inspect.unwrap(getattr(commands, name))).parameters
    renamed = {"budget": "budget_s", "memory": "memory_gb", "tolerance": "tolerance_mm"}
    given = {renamed.get(key, key): one.default for key, one in command.items()}
    # what the terminal alone does, and what a script needs besides
    only = {"plan": {"key", "explain", "diff"}, "train": {"commands"}}.get(name, set())
    assert set(called) - {"progress"} == set(given) - only
    for key, one in called.items():
        if key not in ("progress", "reading", "dataset", "folds") and one.default is not inspect.Parameter.empty:
            default = given[key]
            assert one.default == (str(default) if isinstance(default, Path) else default), key
