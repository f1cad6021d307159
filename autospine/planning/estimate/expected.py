"""What a training is expected to take, bound to the numbers that it was estimated and timed for."""

from __future__ import annotations

from autospine.data.files import json_digest
from autospine.machine.arithmetic import Machine
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import to_table
from autospine.planning.document.expected import Estimated, Expected
from autospine.planning.document.plan import Plan
from autospine.planning.estimate.memory import training_memory_gb

KEY_LENGTH = 12
"""Hexadecimal digits of a key: enough to tell a plan from its edits."""


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
