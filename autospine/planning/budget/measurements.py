"""What a budget is spent on, and how long steps take on the machine that has it.

The time of a step comes in as a callback: this module imports no torch. Others may use the machine meanwhile, so that a
look at a step says at most how long it takes; what contradicts other looks is looked at again, at another time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf, isfinite

from autospine.machine.arithmetic import Machine
from autospine.planning.budget.ladder import Rung
from autospine.planning.document.configuration import Configuration

STEP_SHARE = 0.9
"""Share of the budget that goes into steps; the rest is start-up, validation batches and checkpoints."""
SURE = 1.25
"""Factor between what a step takes and what it is allowed from which on a first look tells enough."""
LOOKS = 3
"""Looks at a step that seems slower than it can be; our own figure."""
PRECISELY = (0.0, inf)
"""Bounds of a measurement that no first look ends."""
BRIEFLY = (0.0, 0.0)
"""Bounds of a measurement that a first look ends."""

Measure = Callable[[Configuration, tuple[float, float]], float]
"""Seconds of a training step on the device; a first look is enough where it takes less or more than the two bounds
(seconds). Infinite where the device's memory is too small."""


@dataclass(frozen=True)
class Budget:
    """The time there is, and the machine that has it."""

    seconds: float
    """Seconds that a training may take."""
    seconds_per_step: Measure
    device: str = ""
    """What the device is called in the plan."""
    machine: Machine = Machine()
    """How it computes a step, as far as that is known before any is timed."""
    timed_on: Callable[[Configuration], tuple[str, Machine]] | None = None
    """The same two of a configuration that was timed, by its precision; None: those above."""

    def steps(self, seconds_per_step: float) -> int:
        """Training steps that fit."""
        return int(self.seconds * STEP_SHARE / seconds_per_step)

    def allowed(self, rung: Rung) -> float:
        """Seconds that a step of `rung` may take for it to be worth training."""
        return self.seconds * STEP_SHARE / rung.least_steps


@dataclass(frozen=True)
class Measurements:
    """What was measured: most rungs at a glance, those of the configuration to train first well.

    2D and 2.5D networks differ in the channels that enter alone and are glanced at once.
    """

    budget: Budget
    _glanced: dict[object, float] = field(default_factory=dict)
    """By what the time of a step depends on."""
    _own: dict[Configuration, float] = field(default_factory=dict)
    """Of these very configurations."""
    _precise: dict[Configuration, float] = field(default_factory=dict)
    """Those that no first look ended."""
    _confirmed: set[Configuration] = field(default_factory=set)
    """Those of `_own` that were looked at again, at another time."""
    _looks: Counter[object] = field(default_factory=Counter)
    """At each key of `_glanced`."""

    def glance(self, rung: Rung, believable: float = inf) -> float:
        """Seconds that a step takes, precise where they are near what it is allowed.

        More than is `believable` they are only if several looks say so.
        """
        configuration, allowed = rung.configuration, self.budget.allowed(rung)
        network = replace(configuration.network, in_channels=1)
        key = (network, configuration.patch, configuration.batch, configuration.previous)
        bounds = (allowed / SURE, allowed * SURE)
        while key not in self._glanced or (believable < self._glanced[key] < inf and self._looks[key] < LOOKS):
            self._looks[key] += 1
            seconds = self.budget.seconds_per_step(configuration, bounds)
            self._glanced[key] = min(seconds, self._glanced.get(key, inf))
            self._own[configuration] = min(seconds, self._own.get(configuration, inf))
            if bounds[0] <= seconds <= bounds[1]:
                self._precise[configuration] = min(seconds, self._precise.get(configuration, inf))
        return self._glanced[key]

    def own(self, rung: Rung) -> float:
        """Seconds that a step takes, of this very configuration, at a glance."""
        configuration, glanced = rung.configuration, self.glance(rung)
        if configuration not in self._own and isfinite(glanced):
            self._own[configuration] = self._least(configuration, BRIEFLY, SURE * glanced)
        return self._precise.get(configuration, self._own.get(configuration, inf))

    def confirmed(self, rung: Rung) -> float:
        """Seconds that a step takes, where one more look, better some time after the first, says the same."""
        configuration, known = rung.configuration, self.own(rung)
        if isfinite(known) and configuration not in self._confirmed:
            again = self._least(configuration, BRIEFLY, SURE * known)
            self._confirmed.add(configuration)
            if again * SURE < known:  # the machine was busy when that was measured
                self._precise.pop(configuration, None)
            self._own[configuration] = min(again, known)
        return self._precise.get(configuration, self._own.get(configuration, inf))

    def precise(self, rung: Rung) -> float:
        """Seconds that a step takes, measured well."""
        configuration, seconds = rung.configuration, self.confirmed(rung)
        if isfinite(seconds) and configuration not in self._precise:
            self._precise[configuration] = self._least(configuration, PRECISELY, SURE * seconds)
        return self._precise.get(configuration, inf)

    def _least(self, configuration: Configuration, bounds: tuple[float, float], believable: float) -> float:
        """The least of several measurements, of one where that is `believable` or finds too little memory."""
        least = inf
        for _ in range(LOOKS):
            least = min(least, self.budget.seconds_per_step(configuration, bounds))
            if least <= believable or not isfinite(least):
                break
        return least
