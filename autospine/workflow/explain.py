"""`autospine plan --explain` and `--diff`: plans that stand, explained and compared."""

from __future__ import annotations

from pathlib import Path

from autospine.planning.document.compare import Difference, compare_plans
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.edited import renew_expected_memory, was_edited
from autospine.workflow.runs.folder import find_plan


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


def compare_at(first: Path, second: Path, runs: Path) -> tuple[Difference, ...]:
    """What differs between two plans, each named as for `find_plan`.

    Raises:
        PlanError: one of them is not there, or not a valid plan.
    """
    return compare_plans(find_plan(first, runs), find_plan(second, runs))
