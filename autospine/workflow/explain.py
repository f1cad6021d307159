"""`autospine plan --explain` and `--diff`: plans that stand, explained and compared."""

from __future__ import annotations

from pathlib import Path

from autospine.planning.document.compare import Difference, compare_plans
from autospine.planning.document.expected import Estimated
from autospine.planning.estimate.expected import renew_estimated, was_edited
from autospine.workflow.runs.folder import find_plan


def explained_plan(place: Path, runs: Path) -> tuple[Estimated, tuple[str, ...]]:
    """The plan at `place` with what its numbers take as they stand, and a sentence for each configuration edited.

    The device is asked only where something was: how it computes decides the memory.

    Raises:
        PlanError: as for `find_plan`.
    """
    standing = find_plan(place, runs)
    if not any(was_edited(one, standing.expected.get(one.name)) for one in standing.plan.configurations):
        return standing, ()
    from autospine.machine.device import resolve_device, step_machine

    return renew_estimated(standing, step_machine(resolve_device()))


def compare_at(first: Path, second: Path, runs: Path) -> tuple[Difference, ...]:
    """What differs between two plans, each named as for `find_plan`.

    What they are expected to take is compared where it is known of both: a copy of a plan is the same plan.

    Raises:
        PlanError: one of them is not there, or not a valid plan.
    """
    plans = [find_plan(place, runs) for place in (first, second)]
    if not all(one.expected for one in plans):
        plans = [Estimated(one.plan) for one in plans]
    return compare_plans(*plans)
