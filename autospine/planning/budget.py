"""A configuration that trains in the time there is: narrowed until enough steps fit.

Measured on two CPU cores with lumbar MR: half an hour of the full 2D plan predicts background only, five minutes at
half its resolution and width with batch 8 reach a Dice of 0.85. So the ladder below gives up first what costs most and
matters least. The time of a step comes in as a callback: this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, prod

from autospine.planning.cost import multiply_adds
from autospine.planning.fingerprint import Fingerprint
from autospine.planning.plan import Configuration, Plan
from autospine.planning.planner import Narrowing, configure
from autospine.planning.recipe import Recipe

STEP_SHARE = 0.9
"""Share of the budget that goes into steps; the rest is start-up, validation batches and checkpoints."""
EPOCHS = 30
"""Epochs in a budget: a validation and a point of the history for each thirtieth of the time."""
FEW_STEPS = 25_000
"""Steps (a tenth of the reference's schedule) below which AdamW replaces SGD; our own first figure."""
VIEW_LOST = 0.7
"""Share of 2D's view in plane under which 3D has lost it; padding to the poolings alone makes a tenth of difference."""
HOPELESS = 4.0
"""A rung that the narrowest one predicts to be so many times too slow is not measured: narrow networks use a machine
worse than wide ones, though hardly four times worse, and a step of the full plan may take a minute."""


@dataclass(frozen=True)
class Rung:
    """One step down the ladder."""

    what: str
    """What was narrowed, for the plan's reason."""
    configuration: Configuration
    reasons: Mapping[str, str]
    """Reasons by dotted key, `2d.patch`."""


def ladder(
    fingerprint: Fingerprint, recipe: Recipe, configuration: Configuration, memory_gb: float | None = None
) -> tuple[Rung, ...]:
    """Narrower and narrower plans of the same configuration, the first of them narrower than the given one.

    In order: batch 8 (2D) or 2 (3D); 16 features up to 256; the finest axes at 1.41 and 2 times their spacing with the
    same field of view in mm; batch 4 (2D); 8 features up to 128; three quarters and half of the patch. Every rung keeps
    what the rungs before it gave up, and is planned anew by the rules.
    """
    two = configuration.network.dimension == 2
    patch, spacing = configuration.patch, configuration.spacing_mm

    def coarser(factor: float) -> tuple[float, ...]:
        # The finest axes coarsen together; thick slices stay as they are until the others have caught up.
        return tuple(max(step, round(min(spacing) * factor, 4)) for step in spacing)

    def view(new: tuple[float, ...], share: float = 1.0) -> tuple[float, ...]:
        return tuple(edge * old / step * share for edge, old, step in zip(patch, spacing, new, strict=True))

    batch = min(configuration.batch, 8 if two else 2)
    widest, cap = recipe.base_features, recipe.max_features_2d if two else recipe.max_features_3d
    start = Narrowing(spacing_mm=spacing, patch_limit=view(spacing))
    steps = [("batch", replace(start, max_batch=batch))]

    def narrow(what: str, change: Narrowing) -> None:
        if change != steps[-1][1]:
            steps.append((what, change))

    def last() -> Narrowing:
        return steps[-1][1]

    narrow("width", replace(last(), base_features=min(16, widest), feature_cap=min(256, cap)))
    for factor in (1.41, 2.0):
        narrow("resolution", replace(last(), spacing_mm=coarser(factor), patch_limit=view(coarser(factor))))
    if two:
        narrow("batch", replace(last(), max_batch=min(batch, 4)))
    narrow("width", replace(last(), base_features=min(8, widest), feature_cap=min(128, cap)))
    for share in (0.75, 0.5):
        narrow("patch", replace(last(), patch_limit=view(coarser(2.0), share)))
    rungs: list[Rung] = []
    given: list[str] = []
    for what, change in steps:
        planned, reasons = configure(fingerprint, recipe, configuration.name, narrowing=change, memory_gb=memory_gb)
        given += [] if what in given else [what]
        if planned != (rungs[-1].configuration if rungs else configuration):
            rungs.append(Rung(", ".join(given), planned, reasons))
    return tuple(rungs)


def fit_to_budget(
    fingerprint: Fingerprint,
    recipe: Recipe,
    configuration: Configuration,
    reasons: Mapping[str, str],
    budget_s: float,
    seconds_per_step: Callable[[Configuration], float],
    target_steps: int = 1500,
    memory_gb: float | None = None,
) -> tuple[Configuration, dict[str, str]]:
    """The first configuration of the ladder that makes `target_steps` training steps in `budget_s` seconds.

    `seconds_per_step` measures a step of a configuration on the device at hand. Rungs that cannot fit, by their
    multiply-adds beside a measured rung, are not measured. Where even the narrowest is too slow it is kept, and the
    reason says so. `memory_gb` is what the plan was made for (None: the recipe's). Returns it with a schedule for the
    budget and with all of `reasons`, those of this configuration renewed.
    """
    allowed = budget_s * STEP_SHARE / target_steps
    unchanged = Rung("", configuration, dict(reasons))
    rungs = (unchanged, *ladder(fingerprint, recipe, configuration, memory_gb))
    narrowest = rungs[-1].configuration
    floor = seconds_per_step(narrowest)
    chosen, seconds = rungs[-1], floor
    wider: tuple[float, int] | None = None
    for rung in rungs[:-1]:
        work = _work(rung.configuration)
        # A narrower network uses the machine no better than a wider one: its time is at least its share of the work.
        if floor * work / _work(narrowest) > HOPELESS * allowed or (wider and wider[0] * work / wider[1] > allowed):
            continue
        measured = seconds_per_step(rung.configuration)
        if measured <= allowed:
            chosen, seconds = rung, measured
            break
        # infinite where the device's memory was too small: that says nothing about the time of a narrower one
        wider = (measured, work) if isfinite(measured) else wider
    return _schedule(recipe, chosen, reasons, budget_s, seconds, target_steps, configuration)


def fit_plan_to_budget(
    plan: Plan,
    fingerprint: Fingerprint,
    recipe: Recipe,
    budget_s: float,
    seconds_per_step: Callable[[Configuration], float],
) -> Plan:
    """`plan` with every configuration narrowed until it fits `budget_s`."""
    reasons = dict(plan.reasons)
    configurations = []
    for configuration in plan.configurations:
        fitted, reasons = fit_to_budget(fingerprint, recipe, configuration, reasons, budget_s, seconds_per_step)
        configurations.append(fitted)
    default = plan.default
    better = default_within_budget(configurations, recipe)
    if better is not None:
        default, reasons["default"] = better
    return replace(plan, configurations=tuple(configurations), default=default, reasons=reasons)


def default_within_budget(configurations: Sequence[Configuration], recipe: Recipe) -> tuple[str, str] | None:
    """Which of the fitted configurations to train first, and why; None where the budget has no say in it.

    3D sees the slices together, but not at any price: where the time takes more of its resolution, its view in plane or
    its width than of 2D's, 2D goes first. Measured on lumbar MR (2 cores, 5 minutes, a validation fold): 2D at 1.41 mm
    and 16 features Dice 0.87, 3D at 2 mm and 8 features 0.12.
    """
    by_name = {configuration.name: configuration for configuration in configurations}
    if recipe.default != "auto" or len(by_name) < 2:
        return None
    flat, full = by_name["2d"], by_name["3d_fullres"]
    spacing, flat_spacing = full.spacing_mm[1:], flat.spacing_mm
    view, flat_view = _view(full), _view(flat)
    width, flat_width = full.network.features[0], flat.network.features[0]
    lost = []
    if min(spacing) > min(flat_spacing):
        lost.append(f"a spacing in mm of {_text(spacing)} instead of {_text(flat_spacing)}")
    if prod(view) < VIEW_LOST * prod(flat_view):
        lost.append(f"a view in mm of {_text(view)} instead of {_text(flat_view)}")
    if width < flat_width:
        lost.append(f"a width of {width} instead of {flat_width}")
    if not lost:
        return None
    return "2d", f"in this time 3d_fullres would have to do with {' and '.join(lost)} in plane: 2d goes first"


def _view(configuration: Configuration) -> tuple[float, ...]:
    """What a patch sees in plane, mm."""
    sizes = zip(configuration.patch[-2:], configuration.spacing_mm[-2:], strict=True)
    return tuple(round(edge * step) for edge, step in sizes)


def _work(configuration: Configuration) -> int:
    return multiply_adds(configuration.network, configuration.patch, configuration.batch)


def _schedule(
    recipe: Recipe,
    rung: Rung,
    reasons: Mapping[str, str],
    budget_s: float,
    seconds: float,
    target_steps: int,
    before: Configuration,
) -> tuple[Configuration, dict[str, str]]:
    """The rung with a training plan for the budget, and its reasons."""
    name, old = rung.configuration.name, rung.configuration.training
    steps = max(1, int(budget_s * STEP_SHARE / seconds))
    per_epoch = max(1, round(steps / EPOCHS))
    training = replace(
        old,
        budget_s=budget_s,
        epochs=ceil(steps / per_epoch),
        steps_per_epoch=per_epoch,
        # A validation batch costs a third of a step: a tenth as many take 3 % of the time.
        validation_steps=min(old.validation_steps, max(2, per_epoch // 10)),
    )
    # a recipe that names its own optimiser keeps it
    few = steps < FEW_STEPS and (recipe.optimiser, recipe.learning_rate) == (Recipe.optimiser, Recipe.learning_rate)
    if few:
        training = replace(training, optimiser="adamw", learning_rate=1e-3, weight_decay=0.01, warmup=0.05)
    configuration = replace(rung.configuration, training=training)
    measured = f"measured {seconds:.3g} s a step: about {steps} steps in {_duration(budget_s)}"
    if steps < target_steps:
        verdict = f"the narrowest plan of the ladder; {measured}, short of {target_steps}: expect a weak model"
    elif rung.what:
        verdict = f"narrowed ({rung.what}) until {target_steps} steps fit; {measured}"
    else:
        verdict = f"nothing had to be narrowed: {measured}, at least {target_steps} were asked for"
    renewed = {**reasons, **rung.reasons}
    renewed[f"{name}.training.budget_s"] = verdict
    renewed[f"{name}.training.epochs"] = f"what fits: {measured}; the schedule ends when the time does"
    renewed[f"{name}.training.steps_per_epoch"] = f"an epoch is about 1/{EPOCHS} of the budget"
    renewed[f"{name}.training.validation_steps"] = "about a tenth of an epoch's steps, to spend the time on training"
    if few:
        text = f"a short schedule ({steps} steps, the reference has 250 000): AdamW gets further than SGD in it"
        for key in ("optimiser", "learning_rate", "weight_decay", "warmup"):
            renewed[f"{name}.training.{key}"] = text
    for key, value, given in (
        ("spacing_mm", configuration.spacing_mm, before.spacing_mm),
        ("patch", configuration.patch, before.patch),
        ("batch", configuration.batch, before.batch),
        ("network.features", configuration.network.features, before.network.features),
    ):
        if value != given:
            renewed[f"{name}.{key}"] = f"narrowed for the time budget from {_text(given)}; {measured}"
    return configuration, renewed


def _text(value: float | tuple[float, ...]) -> str:
    return " x ".join(f"{item:g}" for item in value) if isinstance(value, tuple) else f"{value:g}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"
