"""A configuration that trains in the time there is: the richest plan of the ladder that still gets enough steps.

Measured on two CPU cores with lumbar MR: in half an hour a full 2D plan (the reference's) predicts background only, in
five minutes half its pixels and half its width reach a Dice of 0.90. The time of a step comes in as a callback: this
module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, prod
from typing import Any

from autospine.planning.budget.ladder import Rung, ladder
from autospine.planning.budget.measurements import LOOKS, SURE, Budget, Measurements
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.decided import numbers
from autospine.planning.decide.patch_and_batch import planned_for
from autospine.planning.decide.topology import planned_memory_gb
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Estimated, Expected
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.expected import expect
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import Fingerprint

EPOCHS = 30
"""Epochs in a budget: a validation and a point of the history for each thirtieth of the time."""
STEPS_PER_EPOCH = 20
"""Fewest steps in an epoch: two validation batches after each then take 3 % of the time."""
FULL_STEPS = 10_000
"""Steps from which the plan is trained as the rules make it; our own figure, beyond what a CPU does in hours."""
FEW_STEPS = 25_000
"""Steps (a tenth of the reference's schedule) below which AdamW replaces SGD; our own first figure."""
SHORT: Mapping[str, Any] = {"optimiser": "adamw", "learning_rate": 2e-3, "weight_decay": 0.01, "warmup": 0.05}
"""Optimiser of a short schedule. Its peak rate was compared on lumbar MR (docs/benchmarks/budget.md); weight decay and
warm-up are the usual ones."""
JITTER = 0.5
"""Jitter of forced patches where the view is narrowed: in patches far smaller than the image a label that is always in
the middle is not looked for elsewhere."""
CONTRAST_STEPS = 2500
"""Steps below which no contrasts are made up: a network of lumbar-t2 that saw them in half of its samples had learnt
neither its own contrast nor levels after 1000; one that did in a quarter had both after 2900
(docs/benchmarks/levels.md)."""
WEAK_STEPS = 150
"""Steps under which a weak model is to be expected; our own figure: lumbar levels had just begun to be told apart."""
VIEW_LOST = 0.7
"""Share of 2D's view in plane under which 3D has lost it; padding to the poolings alone makes a tenth of difference."""
VOLUME_STEPS = 1000
"""Steps under which 3D does not go before a 2D that gets more; our own figure, as for its rungs of full resolution."""
NARROW_WIDTH, NARROW_STEPS = 16, 4000
"""Width and steps from which 3D has lost nothing to a wider 2D: the width of its rungs at full resolution, and twice
the steps that they ask for. Our own figures: small volumes are not to go slice by slice because a machine was busy for
a moment."""
HOPELESS = 2.0
"""How many times longer than allowed a step would take, by its work, for it not to be tried."""
OVERHEAD_S = 0.3
"""Seconds from which a step takes the time of its work: below, overhead and the building of batches may decide. Our own
figure."""


@dataclass(frozen=True)
class Fitted:
    """A configuration that trains in the time there is."""

    configuration: Configuration
    expected: Expected
    reasons: Mapping[str, str]
    """Of what was decided for the time, by dotted key."""


def fit_plan_to_budget(plan: Plan, fingerprint: Fingerprint, recipe: Recipe, budget: Budget) -> Estimated:
    """`plan` with every configuration narrowed until it fits the budget, and the one to train first chosen anew.

    What is to be trained first is timed well, the others at a glance and, when all have been, at another.
    """
    measurements, basis = Measurements(budget), Basis.of(fingerprint, recipe, budget.machine, plan.data.presence)
    rungs = {one.name: rungs_of(basis, one) for one in plan.configurations}

    def fit(name: str, measured: Callable[[Rung], float]) -> Fitted:
        return fit_to_budget(recipe, plan.configuration(name), rungs[name], measurements, measured)

    for measured in (measurements.own, measurements.confirmed):
        fits = {one.name: fit(one.name, measured) for one in plan.configurations}
    timed: set[str] = set()
    while True:
        better = default_within_budget([*fits.values()], recipe)
        default = plan.default if better is None else better[0]
        if default in timed:
            break
        fits[default] = fit(default, measurements.precise)
        timed.add(default)
    reasons = dict(plan.reasons)
    for fitted in fits.values():
        reasons |= fitted.reasons
    if better is not None:
        reasons["default"] = better[1]
    configurations = tuple(fitted.configuration for fitted in fits.values())
    fitting = replace(plan, configurations=configurations, default=default, reasons=reasons)
    return Estimated(fitting, {name: fitted.expected for name, fitted in fits.items()})


def fit_to_budget(
    recipe: Recipe,
    configuration: Configuration,
    rungs: Sequence[Rung],
    measurements: Measurements,
    measured: Callable[[Rung], float],
) -> Fitted:
    """The richest of `rungs`, those of `configuration`, whose steps in the budget are as many as it needs.

    Where even the narrowest is too slow it is kept, and the reason says so. `measured` is the time of `measurements`
    that the chosen one is held against. It comes with a schedule for the budget.
    """
    chosen = _richest(rungs, measurements, measured)
    return _schedule(recipe, chosen, measurements.budget, measured(chosen), configuration)


def rungs_of(basis: Basis, configuration: Configuration) -> Sequence[Rung]:
    """`configuration` as it is and the rungs of its ladder, the most work first; those that fit the memory, if any."""
    unchanged = Rung((), configuration, {}, FULL_STEPS)
    rungs = [unchanged, *ladder(basis, configuration)]
    if basis.recipe.optimiser == "auto":  # what is timed is what will most likely be trained
        rungs = [replace(rung, configuration=_with_training(rung.configuration, SHORT)) for rung in rungs]
    limit = planned_memory_gb(basis.recipe)
    fitting = [rung for rung in rungs if training_memory_gb(rung.configuration, basis.machine) <= limit]
    return fitting or rungs[-1:]


def _with_training(configuration: Configuration, values: Mapping[str, Any]) -> Configuration:
    """`configuration` with these values of its training plan."""
    return replace(configuration, training=replace(configuration.training, **values))


def _richest(rungs: Sequence[Rung], measurements: Measurements, measured: Callable[[Rung], float]) -> Rung:
    """The first of `rungs` (the most work first) that fits.

    Where the rung that was climbed to turns out to be faster than at a glance, the machine was busy just then, and what
    was left untried above it is tried after all.
    """
    allowed = [measurements.budget.allowed(rung) for rung in rungs]
    place, seconds = len(rungs) - 1, measurements.glance(rungs[-1])
    for _ in range(LOOKS):
        place, seconds = _climb(rungs, place, seconds, measurements, allowed)
        glanced, seconds = seconds, min(seconds, measured(rungs[place]))
        if not seconds * SURE < glanced:
            break
    # a glance, or that of 2d, may have flattered it
    while place < len(rungs) - 1 and measured(rungs[place]) > allowed[place]:
        place += 1
    return rungs[place]


def _climb(
    rungs: Sequence[Rung], place: int, seconds: float, measurements: Measurements, allowed: Sequence[float]
) -> tuple[int, float]:
    """The place of the first of `rungs` that fits, at or before `place`, whose step takes `seconds`; and its seconds.

    Climbs by leaps: a step of more work takes at most so many times longer (wide networks use a machine better, and a
    GPU's narrow step is all overhead), so the richest rung that fits by that scale surely does. Then one above it is
    tried at a time, until one does not fit or its work alone says that it would not.
    """
    top = 0
    while place > top and isfinite(seconds):
        scaled = [seconds * rung.work / rungs[place].work for rung in rungs]
        sure = [at for at in range(top, place) if scaled[at] <= allowed[at]]
        higher = min(sure, default=place - 1)
        if seconds > OVERHEAD_S and scaled[higher] > HOPELESS * allowed[higher]:
            break
        looked = measurements.glance(rungs[higher], max(allowed[higher], SURE * scaled[higher]))
        if looked <= allowed[higher]:
            place, seconds = higher, looked
        else:
            top = higher + 1
    return place, seconds


def default_within_budget(fits: Sequence[Fitted], recipe: Recipe) -> tuple[str, str] | None:
    """Which of the fitted configurations to train first, and why; None where the budget has no say in it.

    3D sees the slices together, but not at any price: where the time takes more of its resolution, its view in plane
    (`VIEW_LOST`) or its width (`NARROW_WIDTH`) than of 2D's, or leaves it few steps (`VOLUME_STEPS`), 2D goes first.
    Measured on lumbar MR (2 cores, 5 minutes, a validation fold): 2D at 1.41 mm and 16 features Dice 0.90, 3D at 2 mm
    and 8 features 0.12.
    """
    by_name = {fitted.configuration.name: fitted for fitted in fits}
    if recipe.default != "auto" or not {"2d", "3d_fullres"} <= set(by_name):
        return None
    flat, full = by_name["2d"].configuration, by_name["3d_fullres"].configuration
    flat_steps, steps = (by_name[name].expected.steps or 0 for name in ("2d", "3d_fullres"))
    spacing, flat_spacing = full.spacing_mm[1:], flat.spacing_mm
    view, flat_view = _view(full), _view(flat)
    width, flat_width = full.network.features[0], flat.network.features[0]
    lost = []
    if min(spacing) > min(flat_spacing):
        lost.append(f"a spacing in plane of {numbers(spacing)} mm instead of {numbers(flat_spacing)}")
    if prod(view) < VIEW_LOST * prod(flat_view):
        lost.append(f"a view in plane of {numbers(view)} mm instead of {numbers(flat_view)}")
    if steps < min(VOLUME_STEPS, flat_steps):
        lost.append(f"{steps} steps instead of {flat_steps}")
    if width < flat_width and (width < NARROW_WIDTH or steps < NARROW_STEPS):
        lost.append(f"a width of {width} instead of {flat_width}")
    if not lost:
        return None
    return "2d", f"in this time 3d_fullres would have to do with {' and '.join(lost)}: 2d goes first"


def _view(configuration: Configuration) -> tuple[float, ...]:
    """What a patch sees in plane, mm."""
    sizes = zip(configuration.patch[-2:], configuration.spacing_mm[-2:], strict=True)
    return tuple(round(edge * step) for edge, step in sizes)


def _schedule(recipe: Recipe, rung: Rung, budget: Budget, seconds: float, before: Configuration) -> Fitted:
    """The rung with a training plan for the budget."""
    old, steps, known = rung.configuration.training, budget.steps(seconds), isfinite(seconds)
    per_epoch = max(STEPS_PER_EPOCH, round(steps / EPOCHS))
    training = replace(
        old,
        budget_s=budget.seconds,
        epochs=max(1, ceil(steps / per_epoch)),
        steps_per_epoch=per_epoch,
        # A validation batch costs a third of a step: a tenth as many take 3 % of the time.
        validation_steps=min(old.validation_steps, per_epoch // 10),
    )
    few = steps < FEW_STEPS and recipe.optimiser == "auto"
    if not few:
        training = replace(training, **{key: getattr(before.training, key) for key in SHORT})
    own_alone = steps < CONTRAST_STEPS and recipe.random_contrast == "auto" and old.random_contrast > 0
    if own_alone:
        training = replace(training, random_contrast=0.0)
    if "view" in rung.what:
        training = replace(training, foreground_jitter=max(old.foreground_jitter, JITTER))
    configuration = replace(rung.configuration, training=training)
    device, machine = budget.device, budget.machine
    if known and budget.timed_on is not None:
        device, machine = budget.timed_on(configuration)
    expected = expect(
        configuration,
        machine,
        planned_for(recipe, budget.machine),
        device=device or None,
        seconds_per_step=round(seconds, 4) if known else None,
        steps=steps if known else None,
    )
    measured = f"measured {seconds:.3g} s a step: about {steps} steps in {_duration(budget.seconds)}"
    measured = measured if known else "the device's memory is too small to measure a step"
    reasons = {
        **rung.reasons,
        "training.budget_s": _verdict(rung, measured, steps if known else None),
        "training.epochs": f"what fits: {measured}; the schedule ends when the time does",
        "training.steps_per_epoch": f"an epoch is about 1/{EPOCHS} of the budget",
        "training.validation_steps": "about a tenth of an epoch's steps, to spend the time on training",
    }
    if few:
        reasons |= {f"training.{key}": short_reason(steps) for key in SHORT}
    elif steps < FEW_STEPS and training.optimiser == "sgd":
        fails = "may not get beyond the background, where AdamW does (docs/benchmarks/budget.md)"
        reasons["training.optimiser"] = f"the recipe {recipe.name} names it; in {steps} steps it {fails}"
    if own_alone:
        reasons["training.random_contrast"] = f"{measured}, too few to learn other contrasts beside that of the data"
    if training.foreground_jitter != old.foreground_jitter:
        middle = "a label that is always in the middle of its patch would not be looked for elsewhere"
        reasons["training.foreground_jitter"] = f"the view is narrow: {middle}"
    given = _sizes(before)
    for key, value in _sizes(configuration).items():
        if value != given[key]:  # the narrower network may have fewer stages too, which the rules explain
            reasons[key] = f"narrowed for the time budget from {numbers(given[key])}; {measured}"
    return Fitted(configuration, expected, {f"{configuration.name}.{key}": why for key, why in reasons.items()})


def _verdict(rung: Rung, measured: str, steps: int | None) -> str:
    """How far a configuration had to be narrowed, and whether that is enough; `steps` is None where none was timed."""
    if steps is None:
        return f"the narrowest plan there is; {measured}"
    if steps < WEAK_STEPS:
        return f"the narrowest plan there is; {measured}, under {WEAK_STEPS}: expect a weak model"
    if rung.what:
        return f"narrowed ({', '.join(rung.what)}) to the richest plan that gets enough steps; {measured}"
    return f"nothing had to be narrowed: {measured}"


def _sizes(configuration: Configuration) -> Mapping[str, float | Sequence[float]]:
    """What a budget may narrow, by its key."""
    network = configuration.network
    return {
        "spacing_mm": configuration.spacing_mm,
        "patch": configuration.patch,
        "batch": configuration.batch,
        "network.features": network.features,
        "network.blocks": max(network.blocks),
        "network.convs_decoder": network.convs_decoder,
    }


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def short_reason(steps: int) -> str:
    """Why a schedule of so few steps takes `SHORT`."""
    text = f"a short schedule ({steps} steps, the reference has 250 000): AdamW gets further than SGD in it, with "
    return text + "rate, decay and warm-up of its own in the place of the recipe's (docs/benchmarks/budget.md)"
