"""The training plan: schedule from the recipe, mirroring and rotation from the anatomy."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.planning.decide import rules
from autospine.planning.document.parts import TrainingPlan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AxisAnatomy, View

REFERENCE_EPOCHS = 1000
"""Epochs where neither a recipe nor a time says how many (nnU-Net v2.8)."""


def plan_training(recipe: Recipe, patch: Sequence[int], axes: Sequence[AxisAnatomy], view: View) -> TrainingPlan:
    """Schedule and augmentation; mirroring and rotation heed ordered and sided axes, shifts what the views show."""
    everything = tuple(range(len(patch)))
    match recipe.mirror:
        case "all":
            mirror = everything
        case "none":
            mirror = ()
        case "auto":
            mirror = tuple(axis for axis in everything if axes[axis].mirrored)
    in_plane = len(patch) == 3 and max(patch) / patch[0] > rules.ANISOTROPY
    # A rotation by 180 degrees is a mirroring along both axes of its plane, so it is forbidden where that is.
    turned = axes[1:] if in_plane else axes
    upright = recipe.mirror == "none" or (recipe.mirror == "auto" and any(axis.directed for axis in turned))
    if upright:
        rotation = 15.0
    elif in_plane:
        rotation = 180.0
    elif len(patch) == 3:
        rotation = 30.0
    else:
        rotation = 15.0 if max(patch) / min(patch) > 1.5 else 180.0
    shift = recipe.shift
    if shift == "auto":
        shift = rules.SHIFT if view.countable else 0.0
    return TrainingPlan(
        optimiser="sgd" if recipe.optimiser == "auto" else recipe.optimiser,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        warmup=recipe.warmup,
        poly_power=recipe.poly_power,
        clip_norm=recipe.clip_norm,
        epochs=REFERENCE_EPOCHS if recipe.epochs == "auto" else recipe.epochs,
        steps_per_epoch=recipe.steps_per_epoch,
        validation_steps=recipe.validation_steps,
        budget_s=None,
        oversample_foreground=recipe.oversample_foreground,
        foreground_jitter=recipe.foreground_jitter,
        shift=shift,
        mirror_axes=mirror,
        rotation_deg=rotation,
        rotate_in_plane=in_plane,
        scale_range=recipe.scale_range,
        seed=recipe.seed,
        foreground_unit=recipe.unit,
    )
