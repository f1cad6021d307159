"""The training plan: schedule and sampling by the recipe, augmentation by the anatomy."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.planning.decide.augmentation import (
    planned_mirroring,
    planned_plane,
    planned_rotation,
    planned_shift,
)
from autospine.planning.decide.decided import RULE, Decided, settle
from autospine.planning.document.parts import Optimiser, TrainingPlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AxisAnatomy
from autospine.planning.measured.column import View

REFERENCE_EPOCHS = 1000
"""Epochs where neither a recipe nor a time says how many (nnU-Net v2.8)."""
AS_SAID = ("learning_rate", "weight_decay", "momentum", "warmup", "poly_power", "clip_norm", "seed")
"""What a plan takes over from its recipe as it stands there."""


def planned_training(
    recipe: Recipe, patch: Sequence[int], axes: Sequence[AxisAnatomy], view: View
) -> Decided[TrainingPlan]:
    """Schedule and augmentation of a patch along `axes`, which has the `view`."""
    said = recipe.said
    epochs = planned_epochs(recipe)
    pays = "pays in narrow views and does no harm in whole ones (docs/benchmarks/budget.md)"
    forced = f"{said}: share of patches forced onto a label; {RULE} has a third, which {pays}"
    by_class = "a label, large or small, is drawn as often as any other"
    by_component = "of a label, each connected component (lesion) is drawn as often as any other"
    return settle(
        TrainingPlan,
        **{key: Decided(getattr(recipe, key), said) for key in AS_SAID},
        optimiser=planned_optimiser(recipe),
        epochs=epochs,
        steps_per_epoch=Decided(recipe.steps_per_epoch, epochs.why),
        validation_steps=Decided(
            recipe.validation_steps, f"{said}: a quick look after each epoch; the full score comes at the end"
        ),
        budget_s=Decided(None),
        oversample_foreground=Decided(recipe.oversample_foreground, forced),
        foreground_jitter=Decided(
            recipe.foreground_jitter, f"{said}: 0 puts the label into the middle of such a patch"
        ),
        foreground_unit=Decided(recipe.unit, f"{said}: {by_class if recipe.unit == 'class' else by_component}"),
        shift=planned_shift(recipe, view),
        mirror_axes=planned_mirroring(recipe, axes),
        rotation_deg=planned_rotation(recipe, patch, axes),
        rotate_in_plane=planned_plane(patch),
        scale_range=Decided(recipe.scale_range, f"{said}: patients differ in size"),
    )


def planned_optimiser(recipe: Recipe) -> Decided[Optimiser]:
    """What takes the steps."""
    if recipe.optimiser != "auto":
        return Decided(recipe.optimiser, recipe.said)
    return Decided("sgd", f"without a time budget there are steps enough for SGD with Nesterov momentum ({RULE})")


def planned_epochs(recipe: Recipe) -> Decided[int]:
    """Epochs of a training without a time budget."""
    steps = f"{recipe.steps_per_epoch} steps where no time budget is given"
    if recipe.epochs != "auto":
        return Decided(recipe.epochs, f"{recipe.said}: {recipe.epochs} x {steps}")
    return Decided(REFERENCE_EPOCHS, f"{REFERENCE_EPOCHS} x {steps} ({RULE})")
