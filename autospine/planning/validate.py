"""Whether an edited plan still fits a device: its memory, estimated anew from the numbers as they stand.

What a plan's file may hold at all is checked where it is read; memory depends on the machine as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from autospine.errors import PlanError
from autospine.planning.memory import Precision, training_memory_gb
from autospine.planning.plan import Configuration, ExpectedPlan, Plan

EDITED = 0.01
"""Share by which an estimate must differ from the one in the plan to be called another one; less is rounding."""


def renew_expected_memory(plan: Plan, precision: Precision = "half") -> tuple[Plan, tuple[str, ...]]:
    """`plan` with the memory of each configuration estimated from its numbers, and a sentence per one that changed.

    A plan keeps the estimate of either precision: it may have been written on another machine. Times that it expects
    are left out where the memory changed: they were measured on another network.
    """
    configurations, notes = [], []
    for configuration in plan.configurations:
        before, now = configuration.expected, training_memory_gb(configuration, precision)
        either = [training_memory_gb(configuration, each) for each in get_args(Precision)]
        if before is None:
            expected = ExpectedPlan(now)
        elif any(abs(estimate - before.memory_gb) <= EDITED * before.memory_gb for estimate in either):
            expected = before
        else:
            expected = ExpectedPlan(now)
            notes.append(
                f"{configuration.name} was edited: a training is now expected to take {now:.3g} GB, "
                f"the plan was written for {before.memory_gb:.3g} GB"
            )
        configurations.append(replace(configuration, expected=expected))
    return replace(plan, configurations=tuple(configurations)), tuple(notes)


def check_memory(
    configuration: Configuration, device_gb: float | None, device: str, where: str, precision: Precision = "half"
) -> None:
    """Nothing; raises PlanError where a training of `configuration` cannot fit the memory of `device`.

    `device_gb` is all that the device has in 10^9 bytes, None where that is unknown; `where` is the plan's file. What
    is free just now is not asked for: the estimate is good to some 15 %, and what cannot fit at all need not be tried.
    """
    needed = training_memory_gb(configuration, precision)
    if device_gb is not None and needed > device_gb:
        raise PlanError(
            f"{where}, configuration {configuration.name}",
            f"a training is expected to take {needed:.3g} GB; {device} has {device_gb:.3g} GB",
            "a patch, batch and width that fit the device",
            f"make batch, patch or features smaller there, or run `autospine plan DATASET --memory {device_gb:.0f}GB`",
        )
