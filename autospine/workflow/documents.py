"""Plans that stand somewhere: found by what people name them by, explained and compared."""

from __future__ import annotations

from pathlib import Path

from autospine.errors import PlanError
from autospine.planning.document.compare import Difference, compare_plans
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import read_plan_file
from autospine.planning.estimate.edited import renew_expected_memory, was_edited
from autospine.workflow.runs import RunFolder


def find_plan(place: Path, runs: Path) -> Plan:
    """The plan at `place`: a file, a folder that holds `plan.toml`, or the folder or name of a dataset below `runs`.

    Raises:
        PlanError: there is none, or it is not a valid one.
    """
    path = plan_path(place, runs)
    if path.is_file():
        return read_plan_file(path)
    expected = f"a plan file, a folder with {path.name}, or a dataset that was planned below {runs}"
    raise PlanError(str(place), f"no plan: {path} is not there", expected, "run `autospine plan DATASET` first")


def explained_plan(place: Path, runs: Path) -> tuple[Plan, tuple[str, ...]]:
    """The plan at `place` with what its numbers take as they stand, and a sentence for each configuration edited.

    The device is asked only where something was: how it computes decides the memory.

    Raises:
        PlanError: as for `find_plan`.
    """
    plan = find_plan(place, runs)
    if not any(was_edited(configuration) for configuration in plan.configurations):
        return plan, ()
    from autospine.machine.device import resolve_device, step_machine

    return renew_expected_memory(plan, step_machine(resolve_device()))


def plan_path(place: Path, runs: Path) -> Path:
    """Where the plan of `place` lies, or would."""
    if place.is_file():
        return place
    inside = RunFolder(place).plan
    return inside if inside.is_file() else RunFolder.of(runs, place).plan


def compare_at(first: Path, second: Path, runs: Path) -> tuple[Difference, ...]:
    """What differs between two plans, each named as for `find_plan`.

    Raises:
        PlanError: one of them is not there, or not a valid plan.
    """
    return compare_plans(find_plan(first, runs), find_plan(second, runs))
