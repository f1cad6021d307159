"""The time that is planned for on a CPU where nobody has said how long a training may take.

The reference's 1000 epochs take a CPU weeks. What half an hour trains there is nearly as good as what more does, so
that the plan is fitted to it as to a time budget. The training then follows no clock: it has the epochs that were found
to fit, which may be edited, and the same plan, data and seed give the same weights.
"""

from __future__ import annotations

from dataclasses import replace

from autospine.planning.budget.fit_to_time import fit_plan_to_budget
from autospine.planning.budget.measurements import Budget
from autospine.planning.document.expected import Estimated
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.duration import spoken
from autospine.planning.estimate.expected import expectation_key
from autospine.planning.measured.fingerprint import Fingerprint

DEFAULT_S = 1800.0
"""Seconds of training that a CPU is planned for. Less loses Dice, more gained none (docs/benchmarks/cpu.md)."""
MEASURED = "lumbar MR, 2 cores: Dice 0.887 in 5 min, 0.905 in 30 min, 0.907 in 2 h; docs/benchmarks/cpu.md"


def fit_plan_to_default_time(plan: Plan, fingerprint: Fingerprint, recipe: Recipe, budget: Budget) -> Estimated:
    """`plan` fitted to `DEFAULT_S` on the machine that `budget` measures, its schedule in epochs."""
    fitted = fit_plan_to_budget(plan, fingerprint, recipe, replace(budget, seconds=DEFAULT_S))
    reasons, expected = dict(fitted.plan.reasons), dict(fitted.expected)
    time = (
        f"no time was asked for: a CPU is planned for {spoken(DEFAULT_S)}, from which on more gained little "
        f"({MEASURED}); --budget, --epochs or a recipe's epochs say otherwise"
    )
    configurations = []
    for one in fitted.plan.configurations:
        begins = f"{one.name}.training"
        verdict = reasons.pop(f"{begins}.budget_s", "")
        reasons[f"{begins}.epochs"] = f"{time}. {verdict}".removesuffix(". ")
        reasons[f"{begins}.steps_per_epoch"] = "an epoch is about a thirtieth of that time"
        if expected[one.name].seconds_per_step is not None:  # else nobody knows how many epochs fit: the clock stays
            one = replace(one, training=replace(one.training, budget_s=None))
            own = replace(expected[one.name], steps=one.training.steps, made_for=expectation_key(one))
            expected[one.name] = own
        configurations.append(one)
    return Estimated(replace(fitted.plan, configurations=tuple(configurations), reasons=reasons), expected)
