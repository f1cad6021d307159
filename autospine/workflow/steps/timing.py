"""What a training step takes on the device at hand: plans are fitted to that, and trainings say how long they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING

from autospine.machine.arithmetic import Machine
from autospine.planning.budget.default_time import DEFAULT_S, fit_plan_to_default_time
from autospine.planning.budget.fit_to_time import fit_plan_to_budget
from autospine.planning.budget.measurements import BRIEFLY, Budget, Measure
from autospine.planning.decide.topology import DEFAULT_GB
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan
from autospine.planning.document.expected import Estimated, Expectations, Expected
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.duration import describe_length, training_seconds
from autospine.planning.estimate.expected import expect
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.workflow.progress import Progress

if TYPE_CHECKING:
    import torch


TIMED_STEPS = 1000
"""Steps of a training from which it is worth a moment to say beforehand how long they take; our own figure."""


@dataclass(frozen=True)
class Hardware:
    """What a plan has to know of the device."""

    device: str
    """What it is called in messages."""
    names: tuple[str, ...]
    """All that it may be called in plans, by the precision in which a network was timed."""
    kind: str
    """`cpu` or `cuda`."""
    memory_gb: float
    """Memory to plan for, 10^9 bytes."""
    total_gb: float
    """All that it has, 10^9 bytes; infinite where nobody says."""
    machine: Machine
    """How it computes a training step."""

    @property
    def is_usable(self) -> bool:
        """Whether torch can compute on it at this moment."""
        import torch

        return self.kind != "cuda" or torch.cuda.is_available()


def hardware_of(name: str) -> Hardware:
    """The device called `name`.

    A GPU's memory is planned for whole. A CPU shares its own with all else that runs: it is planned for as the
    reference's device, or as what the machine has where that is less.

    Raises:
        DeviceError: there is no such device.
    """
    from autospine.machine.device import (
        describe_device,
        device_memory_gb,
        device_names,
        resolve_device,
        step_machine,
    )

    device = resolve_device(name)
    known = device_memory_gb(device)
    total = DEFAULT_GB if known is None else known
    if device.type != "cuda":
        total = min(total, DEFAULT_GB)
    # no recipe plans for less than 1 GB, whatever the device has
    memory = max(total, 1.0)
    names, total_gb = tuple(device_names(device)), inf if known is None else known
    return Hardware(describe_device(device), names, device.type, memory, total_gb, step_machine(device))


def time_plan(
    estimated: Estimated,
    fingerprint: Fingerprint,
    recipe: Recipe,
    budget_s: float | None,
    device: str,
    *,
    length_given: bool,
    progress: Progress,
) -> Estimated:
    """The plan fitted to the time that there is, or with what a step of its default configuration takes on `device`.

    Without a budget a CPU is planned for the default time, unless the length of a training is given otherwise.
    """
    plan = estimated.plan
    hardware, measure = hardware_of(device), _measure(plan.data, device, by_clock=budget_s is not None)
    names = [configuration.name for configuration in plan.configurations]
    with progress.task("Measuring this machine") as update:
        if budget_s is None and (length_given or hardware.kind != "cpu"):
            return _with_step_timed(estimated, hardware, device, _reporting(measure, [plan.default], update))
        timed = _reporting(measure, names, update)
        budget = Budget(budget_s or DEFAULT_S, timed, hardware.device, hardware.machine, _timed_on(device))
        fit = fit_plan_to_default_time if budget_s is None else fit_plan_to_budget
        return fit(plan, fingerprint, recipe, budget)


def _with_step_timed(estimated: Estimated, hardware: Hardware, device: str, measure: Measure) -> Estimated:
    """The same with what a step of its default configuration takes by a first look, where the memory holds it."""
    configuration, expected = estimated.plan.configuration(), estimated.expected
    too_large = training_memory_gb(configuration, hardware.machine) > hardware.total_gb
    if too_large or not hardware.is_usable:
        return estimated
    seconds = measure(configuration, BRIEFLY)
    if not isfinite(seconds):
        return estimated
    called, machine = _timed_on(device)(configuration)
    name, why = configuration.name, expected[configuration.name].why
    timed = expect(configuration, machine, why, device=called, seconds_per_step=round(seconds, 4))
    return replace(estimated, expected={**expected, name: timed})


def length_notes(estimated: Estimated, hardware: Hardware, command: str | None) -> tuple[str, ...]:
    """What a training of the default configuration takes here; and where that is very long, a warning.

    That names the `command` that plans for less, where there is one.
    """
    configuration = estimated.plan.configuration()
    expected = estimated.expected[configuration.name]
    # a plan that was timed here says in which precision
    device = expected.device if expected.device in hardware.names else hardware.device
    said, *warning = describe_length(configuration, expected, device, command)
    return (f"A training of {configuration.name}: {said}", *warning)


def training_notes(
    card: ModelCard,
    expected: Expected,
    device: torch.device,
    name: str,
    command: str | None,
    progress: Progress,
) -> tuple[str, ...]:
    """How long a training of `card` on `device` will take, told before it begins, and a warning if very long.

    `expected` is what is known of it, `name` what the device is called in its precision. The warning names the
    `command` that plans for less, where there is one. Where it is not known what a step takes there (the plan was made
    on another device, or edited), one is timed, unless there are so few that they will show it themselves.
    """
    from autospine.training.throughput import seconds_per_step

    training = card.configuration.training
    if training_seconds(training, expected, name) is None and training.steps >= TIMED_STEPS:
        with progress.task("Timing a training step"):
            seconds = seconds_per_step(card, device, bounds_s=BRIEFLY)
        if isfinite(seconds):
            expected = replace(expected, device=name, seconds_per_step=seconds)
    return describe_length(card.configuration, expected, name, command)


def timed_elsewhere(expected: Expectations, here: Hardware) -> tuple[str, ...]:
    """A sentence per device other than the one `here` on which steps were timed."""
    timed: dict[str, list[str]] = {}
    for name, one in expected.items():
        if one.device not in (None, *here.names):
            timed.setdefault(str(one.device), []).append(name)
    return tuple(
        f"{', '.join(names)}: timed on {other}, this is {here.device}; --overwrite plans for it"
        for other, names in timed.items()
    )


def _measure(data: DataPlan, device: str, *, by_clock: bool) -> Measure:
    from autospine.machine.device import resolve_device
    from autospine.training.throughput import seconds_per_step

    resolved = resolve_device(device)
    return lambda configuration, bounds: seconds_per_step(
        ModelCard(data, configuration), resolved, bounds_s=bounds, by_clock=by_clock
    )


def _timed_on(device: str) -> Callable[[Configuration], tuple[str, Machine]]:
    """A function from a configuration that `_measure` has timed to what this device was called and computed then."""
    from autospine.machine.device import describe_device, resolve_device, step_machine
    from autospine.networks.precision import choose_precision

    resolved = resolve_device(device)

    def timed_on(configuration: Configuration) -> tuple[str, Machine]:
        precision = choose_precision(configuration, resolved, training=True).precision
        return describe_device(resolved, precision), step_machine(resolved, precision)

    return timed_on


def _reporting(measure: Measure, names: Sequence[str], update: Callable[[str, float], None]) -> Measure:
    """`measure` that shows what it found; how many candidates of each configuration will be tried is not known."""
    tried: Counter[str] = Counter()
    reached = 0.0

    def measured(configuration: Configuration, bounds: tuple[float, float]) -> float:
        nonlocal reached
        seconds = measure(configuration, bounds)
        name, features = configuration.name, configuration.network.features
        tried[name] += 1
        patch = "x".join(map(str, configuration.patch))
        # what goes first is measured again when all have been looked at
        reached = max(reached, (names.index(name) + tried[name] / (tried[name] + 1)) / len(names))
        found = f"{seconds:.3g} s a step" if isfinite(seconds) else "the device's memory is too small"
        update(f"{name}: {features[0]} features, {patch}: {found}", reached)
        return seconds

    return measured
