"""What a training is expected to take, bound to the numbers that it was estimated and timed for.

What a plan's file may hold at all is checked where it is read; memory depends on the machine as well.
"""

from __future__ import annotations

from autospine.data.disk.files import KEY_LENGTH, json_digest
from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import to_table
from autospine.planning.document.expected import Estimated, Expected
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.estimate.tiers import memory_tier


def expect(
    configuration: Configuration,
    machine: Machine,
    why: str = "",
    *,
    device: str | None = None,
    seconds_per_step: float | None = None,
    steps: int | None = None,
) -> Expected:
    """The memory of a training step of `configuration` on `machine`, and what was timed of it on `device`."""
    needed = training_memory_gb(configuration, machine)
    return Expected(needed, device, seconds_per_step, steps, expectation_key(configuration), why)


def estimate(plan: Plan, machine: Machine, why: str) -> Estimated:
    """`plan` with the memory that training steps take on `machine`, and `why` that much."""
    return Estimated(plan, {one.name: expect(one, machine, why) for one in plan.configurations})


def expectation_key(configuration: Configuration) -> str:
    """A short hash of what decides the memory and time of a training step, and the steps in a budget.

    Network, patch, batch, what enters beside the slice itself, optimiser and budget. What only decides how well is
    learnt (learning rate, loss weights, mirroring) may be edited without a new expectation.
    """
    training = configuration.training
    content = [
        to_table(configuration.network),
        configuration.patch,
        configuration.batch,
        configuration.neighbours,
        configuration.previous,
        training.optimiser,
        None if training.budget_s is None else float(training.budget_s),
    ]
    return json_digest(content)[:KEY_LENGTH]


def was_edited(configuration: Configuration, expected: Expected | None) -> bool:
    """Whether the configuration has other numbers than those that memory and times are `expected` for."""
    return expected is None or expected.made_for != expectation_key(configuration)


def renew_expected(
    configuration: Configuration, before: Expected | None, machine: Machine = Machine()
) -> tuple[Expected, str]:
    """What holds for `configuration` as it stands, and a sentence where it was edited since `before` was expected.

    Its memory is then estimated anew, and times that were measured on other numbers are left out. What was estimated
    on another machine for the same numbers stays as it is.
    """
    if before is not None and not was_edited(configuration, before):
        return before, ""
    expected = expect(configuration, machine, "estimated anew for the numbers as they stand")
    if before is None:
        return expected, ""
    lost = "" if before.seconds_per_step is None else "; the time of a step is no longer known"
    return expected, (
        f"{configuration.name} was edited: a training is now expected to take {expected.memory_gb:.3g} GB, "
        f"the plan was written for {before.memory_gb:.3g} GB{lost}"
    )


def renew_estimated(standing: Estimated, machine: Machine = Machine()) -> tuple[Estimated, tuple[str, ...]]:
    """The plan with what holds for each configuration as it stands, and a sentence for each that was edited."""
    plan, expected, notes = standing.plan, dict[str, Expected](), list[str]()
    for one in plan.configurations:
        expected[one.name], note = renew_expected(one, standing.expected.get(one.name), machine)
        notes += [note] if note else []
    return Estimated(plan, expected), tuple(notes)


def check_memory(
    configuration: Configuration, device_gb: float | None, device: str, where: str, machine: Machine = Machine()
) -> None:
    """Nothing; raises PlanError where a training of `configuration` cannot fit the memory of `device`.

    `device_gb` is all that the device has in 10^9 bytes, None where that is unknown; `where` is the plan's file. What
    is free just now is not asked for: the estimate is good to some 15 %, and what cannot fit at all need not be tried.
    """
    needed = training_memory_gb(configuration, machine)
    if device_gb is not None and needed > device_gb:
        remedy, tier = "make batch or patch smaller there", memory_tier(device_gb)
        if tier <= device_gb:  # less than the smallest planned size cannot be planned for
            remedy += f", or run `autospine plan DATASET --memory {tier:g}GB --overwrite`"
        raise PlanError(
            f"{where}, configuration {configuration.name}",
            f"a training is expected to take {needed:.3g} GB; {device} has {device_gb:.3g} GB",
            "a patch and batch that fit the device",
            remedy,
        )
