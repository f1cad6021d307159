"""The half hour that is planned for on a CPU where no time was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.planning.budget.default_time import DEFAULT_S, fit_plan_to_default_time
from autospine.planning.budget.fit_to_time import fit_plan_to_budget
from autospine.planning.budget.measurements import Budget
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.expected import expectation_key
from autospine.planning.measured.fingerprint import Fingerprint
from tests.planning.budget.clocks import Clock

RECIPE = replace(Recipe(), configurations=("2d", "3d_fullres"))


def test_it_is_the_plan_of_half_an_hour_without_its_clock(lumbar: Fingerprint) -> None:
    plan, clock = make_plan(lumbar, RECIPE), Clock(3e10)
    timed = fit_plan_to_budget(plan, lumbar, RECIPE, Budget(1800.0, clock))
    fitted = fit_plan_to_default_time(plan, lumbar, RECIPE, Budget(1.0, clock))  # whatever time the budget has
    assert DEFAULT_S == 1800.0
    assert fitted.plan.default == timed.plan.default
    for one, other in zip(fitted.plan.configurations, timed.plan.configurations, strict=True):
        assert (one.training.budget_s, other.training.budget_s) == (None, 1800.0)
        assert replace(one, training=replace(one.training, budget_s=1800.0)) == other


def test_what_is_expected_are_the_epochs_that_are_trained(lumbar: Fingerprint) -> None:
    clock = Clock(3e10)
    fitted = fit_plan_to_default_time(make_plan(lumbar, RECIPE), lumbar, RECIPE, Budget(1.0, clock))
    for one in fitted.plan.configurations:
        expected = fitted.expected[one.name]
        assert expected.steps == one.training.epochs * one.training.steps_per_epoch
        assert expected.made_for == expectation_key(one)
        # nine tenths of the time are for steps; the last epoch may go over
        assert 0.9 * 1800 <= expected.steps * clock(one) + clock(one) <= 1.1 * 0.9 * 1800


def test_the_reasons_say_that_nobody_asked(lumbar: Fingerprint) -> None:
    fitted = fit_plan_to_default_time(make_plan(lumbar, RECIPE), lumbar, RECIPE, Budget(1.0, Clock(3e10)))
    for name in RECIPE.configurations:
        said = fitted.plan.reasons[f"{name}.training.epochs"]
        assert said.startswith("no time was asked for: a CPU is planned for 30 min, ")
        assert f"{name}.training.budget_s" not in fitted.plan.reasons
    assert "steps in 30 min" in fitted.plan.reasons["2d.training.epochs"]  # the verdict of the fit


def test_where_no_step_could_be_timed_the_clock_stays(lumbar: Fingerprint) -> None:
    budget = Budget(1.0, lambda configuration, bounds: float("inf"))
    fitted = fit_plan_to_default_time(make_plan(lumbar, RECIPE), lumbar, RECIPE, budget)
    assert [one.training.budget_s for one in fitted.plan.configurations] == pytest.approx([1800.0] * 2)
    assert {expected.seconds_per_step for expected in fitted.expected.values()} == {None}
