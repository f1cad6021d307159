"""Machines of a fixed speed, and 2D plans that are fitted to them."""

from __future__ import annotations

from autospine.planning.budget.fit_to_time import Fitted, fit_to_budget
from autospine.planning.budget.fit_to_time import rungs_of as all_rungs
from autospine.planning.budget.ladder import ladder
from autospine.planning.budget.measurements import PRECISELY, Budget, Measure, Measurements
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.cost import multiply_adds
from autospine.planning.measured.fingerprint import Fingerprint


class Clock:
    """Seconds a step of a machine with a fixed speed and overhead; remembers what it was asked.

    A glance, at what is surely faster or slower than the bounds, is off by the factor `glance`.
    """

    def __init__(self, multiply_adds_per_second: float, overhead_s: float = 0.0, glance: float = 1.0) -> None:
        self.speed = multiply_adds_per_second
        self.overhead_s = overhead_s
        self.glance = glance
        self.asked: list[Configuration] = []
        self.bounds: list[tuple[float, float]] = []

    def __call__(self, configuration: Configuration, bounds: tuple[float, float] = PRECISELY) -> float:
        self.asked.append(configuration)
        self.bounds.append(bounds)
        work = multiply_adds(configuration.network, configuration.patch, configuration.batch)
        seconds = self.overhead_s + 3 * work / self.speed
        glanced = seconds * self.glance
        return seconds if bounds[0] <= glanced <= bounds[1] else glanced


USUAL = Recipe()


def fitted_2d(fingerprint: Fingerprint, clock: Measure, budget_s: float, recipe: Recipe = USUAL) -> Fitted:
    measurements = Measurements(Budget(budget_s, clock, device="CPU, 2 cores"))
    configuration = make_plan(fingerprint, recipe).configuration("2d")
    rungs = all_rungs(Basis.of(fingerprint, recipe), configuration)
    return fit_to_budget(recipe, configuration, rungs, measurements, measurements.precise)


def fit(
    fingerprint: Fingerprint, clock: Measure, budget_s: float, recipe: Recipe = USUAL
) -> tuple[Configuration, dict[str, str]]:
    """2D alone, and the reasons of the plan with its own."""
    fitted = fitted_2d(fingerprint, clock, budget_s, recipe)
    return fitted.configuration, {**make_plan(fingerprint, recipe).reasons, **fitted.reasons}


def same_as(configuration: Configuration) -> tuple[object, ...]:
    """What the time of a step depends on."""
    return configuration.network, configuration.patch, configuration.batch


def rungs_of(fingerprint: Fingerprint) -> list[tuple[Configuration, int]]:
    configuration = make_plan(fingerprint, Recipe()).configuration("2d")
    rungs = ladder(Basis.of(fingerprint, Recipe()), configuration)
    return [(rung.configuration, rung.least_steps) for rung in rungs]


class BusyClock(Clock):
    """A machine that another process takes from one look on, for some of them: every step is `slower` times as long."""

    def __init__(self, multiply_adds_per_second: float, busy: range, slower: float) -> None:
        super().__init__(multiply_adds_per_second)
        self.busy = busy
        self.slower = slower

    def __call__(self, configuration: Configuration, bounds: tuple[float, float] = PRECISELY) -> float:
        seconds = super().__call__(configuration, bounds)
        return seconds * self.slower if len(self.asked) - 1 in self.busy else seconds
