"""What is measured well, what at a glance, and what is looked at again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import pytest

from autospine.planning.budget.fit_to_time import fit_plan_to_budget, fit_to_budget
from autospine.planning.budget.fit_to_time import rungs_of as all_rungs
from autospine.planning.budget.ladder import Rung
from autospine.planning.budget.measurements import BRIEFLY, PRECISELY, SURE, Budget, Measurements
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint
from tests.planning.budget.clocks import BusyClock, Clock, fit, fitted_2d, rungs_of, same_as


@pytest.mark.parametrize("speed", [3e9, 3e10, 3e11])
@pytest.mark.parametrize("seconds", [300.0, 1800.0, 7200.0])
def test_what_is_trained_first_is_measured_well_and_the_others_at_a_glance(
    lumbar: Fingerprint, speed: float, seconds: float
) -> None:
    clock = Clock(speed)
    plan = fit_plan_to_budget(make_plan(lumbar, Recipe()), lumbar, Recipe(), Budget(seconds, clock)).plan
    seen = list(zip(clock.asked, clock.bounds, strict=True))
    for configuration in plan.configurations:
        own = [
            bounds
            for rung, bounds in seen
            if (rung.name, same_as(rung)) == (configuration.name, same_as(configuration))
        ]
        well = sum(least <= clock(configuration) <= most for least, most in own)
        assert own and well == 1 if configuration.name == plan.default else well <= 1
        assert (PRECISELY in own) <= (configuration.name == plan.default)
    flat, between = plan.configuration("2d"), plan.configuration("2.5d")
    assert flat.batch == between.batch and flat.network == replace(between.network, in_channels=1)
    # 2.5d is 2d but for what enters: which of its rungs fit is known
    assert [bounds for rung, bounds in seen if rung.name == "2.5d"] == [BRIEFLY, BRIEFLY]


def test_what_goes_first_is_held_against_its_own_measurement(lumbar: Fingerprint) -> None:
    """At a glance a step takes six tenths of its time: the richest rung of the glance does not stand."""
    clock = Clock(3e10, glance=0.6)
    plan = make_plan(lumbar, Recipe())
    flat = plan.configuration("2d")
    least = {same_as(rung): steps for rung, steps in rungs_of(lumbar)}
    differ = 0
    for budget_s in range(300, 9000, 600):
        measurements = Measurements(Budget(budget_s, clock))
        rungs = all_rungs(Basis.of(lumbar, Recipe()), flat)
        glanced = fit_to_budget(Recipe(), flat, rungs, measurements, measurements.own).configuration
        fitted = fit_plan_to_budget(plan, lumbar, Recipe(), Budget(budget_s, clock))
        first, expected = fitted.plan.configuration("2d"), fitted.expected["2d"]
        assert fitted.plan.default == "2d"
        assert expected.seconds_per_step == pytest.approx(clock(first), abs=1e-4)
        assert (expected.steps or 0) + 1 >= least[same_as(first)]
        said = fitted.plan.reasons["default"]
        assert "steps instead" not in said or f"steps instead of {expected.steps}" in said
        differ += same_as(glanced) != same_as(first)
    assert differ > 1


@pytest.mark.parametrize("glance", [0.7, 0.9, 1.1, 1.3])
@pytest.mark.parametrize("minutes", [3, 30, 200])
def test_a_glance_decides_nothing_that_is_close(lumbar: Fingerprint, glance: float, minutes: int) -> None:
    clock, budget_s = Clock(3e10, glance=glance), 60.0 * minutes
    one = fitted_2d(lumbar, clock, budget_s)
    fitted, expected = one.configuration, one.expected
    exact, _ = fit(lumbar, Clock(3e10), budget_s)
    assert expected.seconds_per_step == pytest.approx(clock(fitted), abs=1e-4)
    least = {same_as(rung): steps for rung, steps in rungs_of(lumbar)}
    assert (expected.steps or 0) + 1 >= least[same_as(fitted)]
    if glance < SURE:  # a step that looks too slow to try is a rung lost at most
        assert same_as(fitted) == same_as(exact)


@pytest.mark.parametrize(("minutes", "looks", "slower"), [(5, 1, 25.0), (5, 2, 1.5), (30, 2, 4.0), (120, 1, 1.5)])
def test_a_busy_moment_changes_no_plan(lumbar: Fingerprint, minutes: int, looks: int, slower: float) -> None:
    plan = make_plan(lumbar, Recipe())
    quiet = Clock(3e10)
    expected = fit_plan_to_budget(plan, lumbar, Recipe(), Budget(60.0 * minutes, quiet))
    for first in range(len(quiet.asked)):
        clock = BusyClock(3e10, range(first, first + looks), slower)
        fitted = fit_plan_to_budget(plan, lumbar, Recipe(), Budget(60.0 * minutes, clock))
        assert fitted.plan.default == expected.plan.default
        for name in (configuration.name for configuration in plan.configurations):
            one, other = fitted.plan.configuration(name), expected.plan.configuration(name)
            assert same_as(one) == same_as(other), (first, name)
            assert fitted.expected[name].steps == expected.expected[name].steps, (first, name)
        assert len(clock.asked) <= len(quiet.asked) + 6


def test_a_machine_that_stays_busy_is_believed(lumbar: Fingerprint) -> None:
    fitted = fitted_2d(lumbar, BusyClock(12e10, range(1000), 4.0), 1800.0)
    quiet = fitted_2d(lumbar, Clock(3e10), 1800.0)
    assert same_as(fitted.configuration) == same_as(quiet.configuration) and fitted.expected == quiet.expected


class Script:
    """A machine whose looks take what is written down; it keeps what it was asked."""

    def __init__(self, *seconds: float) -> None:
        self.left = list(seconds)
        self.bounds: list[tuple[float, float]] = []

    def __call__(self, configuration: Configuration, bounds: tuple[float, float]) -> float:
        self.bounds.append(bounds)
        return self.left.pop(0)


def rung(configuration: Configuration, least_steps: int = 450) -> Rung:
    return Rung((), configuration, {}, least_steps)


def test_a_budget_by_hand(make_configuration: Callable[..., Configuration]) -> None:
    """Nine tenths of 100 seconds are for steps: 360 of a quarter of a second; each of 450 may take a fifth."""
    budget = Budget(100.0, Script())
    assert budget.steps(0.25) == 360
    assert budget.allowed(rung(make_configuration())) == pytest.approx(0.2)


def test_a_glance_is_taken_once_whatever_enters(make_configuration: Callable[..., Configuration]) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    thick = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3))
    script = Script(0.7)
    measurements = Measurements(Budget(100.0, script))
    assert [measurements.glance(rung(one)) for one in (flat, thick, flat)] == [0.7] * 3
    assert script.bounds == [pytest.approx((0.2 / 1.25, 0.2 * 1.25))]


@pytest.mark.parametrize(
    ("looks", "least", "taken"), [((0.4,), 0.4, 1), ((2.0, 0.4), 0.4, 2), ((2.0, 1.5, 1.8), 1.5, 3), ((inf,), inf, 1)]
)
def test_what_is_slower_than_can_be_is_looked_at_three_times(
    make_configuration: Callable[..., Configuration], looks: tuple[float, ...], least: float, taken: int
) -> None:
    script = Script(*looks, 9.0)
    assert Measurements(Budget(100.0, script)).glance(rung(make_configuration()), believable=0.5) == least
    assert len(script.bounds) == taken


def test_a_second_look_takes_back_what_a_busy_moment_said(make_configuration: Callable[..., Configuration]) -> None:
    one = rung(make_configuration())
    same = Measurements(Budget(100.0, Script(0.2, 0.21)))
    assert (same.own(one), same.confirmed(one), same.confirmed(one)) == (0.2, 0.2, 0.2)
    busy = Measurements(Budget(100.0, Script(0.2, 0.1)))  # within the bounds: it was measured well, but then
    assert (busy.own(one), busy.confirmed(one)) == (0.2, 0.1)


def test_a_good_measurement_has_no_bounds_and_is_made_once(make_configuration: Callable[..., Configuration]) -> None:
    one, script = rung(make_configuration()), Script(0.5, 0.5, 0.45)
    measurements = Measurements(Budget(100.0, script))
    assert [measurements.precise(one) for _ in range(2)] == [0.45] * 2
    assert script.bounds[1:] == [BRIEFLY, PRECISELY]


def test_too_little_memory_is_not_asked_again(make_configuration: Callable[..., Configuration]) -> None:
    script = Script(inf)
    assert Measurements(Budget(100.0, script)).precise(rung(make_configuration())) == inf
    assert len(script.bounds) == 1
