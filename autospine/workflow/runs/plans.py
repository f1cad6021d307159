"""The plans that stand, found by what people name them by."""

from __future__ import annotations

from pathlib import Path

from autospine.errors import PlanError
from autospine.planning.document.expected import EXPECTED, Estimated, read_expected
from autospine.planning.document.plan_file import read_plan_file
from autospine.workflow.runs.folder import RunFolder


def find_plan(place: Path, runs: Path) -> Estimated:
    """The plan at `place`, with what lies beside it of what it takes.

    That is a file, a folder that holds `plan.toml`, or the folder or name of a dataset below `runs`.

    Raises:
        PlanError: there is none, or it is not a valid one.
    """
    path = plan_path(place, runs)
    if path.is_file():
        return Estimated(read_plan_file(path), read_expected(path.with_name(EXPECTED)))
    expected = f"a plan file, a folder with {path.name}, or a dataset that was planned below {runs}"
    raise PlanError(str(place), f"no plan: {path} is not there", expected, "run `autospine plan DATASET` first")


def plan_path(place: Path, runs: Path) -> Path:
    """Where the plan of `place` lies, or would."""
    if place.is_file():
        return place
    inside = RunFolder(place).plan
    return inside if inside.is_file() else RunFolder.of(runs, place).plan
