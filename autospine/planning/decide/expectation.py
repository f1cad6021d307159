"""What a training is expected to take of the memory that was planned for."""

from __future__ import annotations

from dataclasses import replace

from autospine.planning.decide.capacity import planned_memory_gb
from autospine.planning.decide.decided import Decided
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.expected import expect
from autospine.planning.estimate.memory import Machine
from autospine.planning.estimate.tiers import memory_tier

MADE_FOR = "a hash of network, patch, batch, optimiser and budget: an edit of these shows, and is estimated anew"


def with_expectation(planned: Decided[Configuration], machine: Machine, why: str) -> Decided[Configuration]:
    """What was planned, with the memory that a training step takes on `machine`, and why that much."""
    configuration = replace(planned.value, expected=expect(planned.value, machine))
    reasons = {"expected.memory_gb": why, "expected.made_for": MADE_FOR}
    return Decided(configuration, {**planned.keyed, **reasons})


def planned_for(recipe: Recipe, machine: Machine) -> str:
    """For which memory the peak of a training step was planned."""
    asked = planned_memory_gb(recipe)
    tier = memory_tier(asked)
    step = f"a training step in {machine.precision} precision"
    step += f" on {machine.threads} threads" if machine.threads > 1 else ""
    why = f"estimated peak of {step}; planned for {tier:g} GB"
    if tier < asked:
        why += f", the largest planned size within {asked:g} GB"
    elif tier > asked:
        why += f", the smallest planned size: {asked:g} GB may be too little"
    return why
