"""Whether an edited plan still fits a device: its memory, estimated anew from the numbers as they stand.

What a plan's file may hold at all is checked where it is read; memory depends on the machine as well.
"""

from __future__ import annotations

from dataclasses import replace

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.expected import expect, expectation_key
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.estimate.tiers import memory_tier


def was_edited(configuration: Configuration) -> bool:
    """Whether the configuration has other numbers than those that it expects memory and times for."""
    return configuration.expected is None or configuration.expected.made_for != expectation_key(configuration)


def renew_expected_memory(plan: Plan, machine: Machine = Machine()) -> tuple[Plan, tuple[str, ...]]:
    """`plan` with memory estimated anew for each configuration that was edited, and a sentence for each of those.

    Times that were measured on other numbers are left out. What was estimated on another machine for the same numbers
    stays as it is.
    """
    configurations, notes, reasons = [], [], dict(plan.reasons)
    for configuration in plan.configurations:
        before = configuration.expected
        if was_edited(configuration):
            expected = expect(configuration, machine)
            reasons[f"{configuration.name}.expected.memory_gb"] = "estimated anew for the numbers as they stand"
            if before is not None:
                lost = "" if before.seconds_per_step is None else "; the time of a step is no longer known"
                notes.append(
                    f"{configuration.name} was edited: a training is now expected to take {expected.memory_gb:.3g} GB, "
                    f"the plan was written for {before.memory_gb:.3g} GB{lost}"
                )
            configuration = replace(configuration, expected=expected)
        configurations.append(configuration)
    return replace(plan, configurations=tuple(configurations), reasons=reasons), tuple(notes)


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
