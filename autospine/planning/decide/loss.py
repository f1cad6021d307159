"""The loss by the sizes of the classes: which cross entropy stands beside Dice, and what each class weighs in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autospine.errors import PlanError
from autospine.planning.decide import rules
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan
from autospine.planning.document.parts import LossPlan, Unit
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint


def usual_sizes(
    cases: Sequence[CaseFingerprint], axis_order: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[float, ...]:
    """Usual size of each class at the planned spacing: voxels in 3D, area per slice in 2D (two spacings)."""
    dimension = len(spacing_mm)
    axes, first = axis_order[-dimension:], axis_order[0]
    return rules.class_sizes(
        [case.class_voxels for case in cases],
        [[slices[first] if dimension == 2 else 1 for slices in case.class_slices] for case in cases],
        [[case.spacing_mm[axis] for axis in axes] for case in cases],
        spacing_mm,
    )


def target_sizes(sizes: Sequence[float], data: DataPlan) -> tuple[float, ...]:
    """Size of what is segmented, from the usual sizes of the classes: a region is as large as those in it together."""
    return tuple(sum(sizes[value - 1] for value in held) for held in data.members)


def loss_weights(targets: Sequence[float], data: DataPlan, alpha: float, weight_cap: float) -> tuple[float, ...]:
    """Size-adaptive weights, one per network output, from the sizes of what is segmented: regions lack a background."""
    return rules.size_adaptive_weights(targets, alpha, weight_cap)[-data.outputs :]


def plan_loss(recipe: Recipe, sizes: Sequence[float], data: DataPlan, *, batch_dice: bool) -> LossPlan:
    """The recipe's loss, or the one that the usual sizes of the classes ask for."""
    targets = target_sizes(sizes, data)
    kind = recipe.loss_kind(rules.size_ratio(targets))
    weights = loss_weights(targets, data, recipe.alpha, recipe.weight_cap)
    plain = tuple(1.0 for _ in weights)
    adaptive = kind == "dice_size_adaptive_ce"
    by_component = adaptive and recipe.unit == "component"
    by_batch = adaptive and recipe.size_source == "batch"
    return LossPlan(
        kind,
        weights if adaptive and not by_component and not by_batch else plain,
        batch_dice,
        alpha=recipe.alpha,
        weight_cap=recipe.weight_cap,
        usual_sizes=targets if by_batch else None,
        largest_size=max(targets) if by_component else None,
    )


def check_unit(unit: Unit, fingerprint: Fingerprint, remedy: str) -> None:
    """Nothing; raises PlanError, with this `remedy`, where components are asked for and regions overlap.

    A voxel then lies in components of several sizes, one for each region.
    """
    if unit == "component" and fingerprint.regions:
        names = ", ".join(region.name for region in fingerprint.regions)
        found = f'unit = "component", and regions that overlap ({names})'
        raise PlanError(fingerprint.dataset, found, "labels that do not overlap, or whole regions", remedy)


def renewed_loss(configuration: Configuration, fingerprint: Fingerprint, data: DataPlan) -> LossPlan:
    """The same kind of loss for other `data`, or some of their cases: with the weights and sizes of their targets.

    Nothing is said of folds, which are those of other data too.
    """
    loss = configuration.loss
    sizes = target_sizes(usual_sizes(fingerprint.cases, configuration.axis_order, configuration.spacing_mm), data)
    weights = loss_weights(sizes, data, loss.alpha, loss.weight_cap)
    by_class = loss.kind == "dice_size_adaptive_ce" and loss.largest_size is None and loss.usual_sizes is None
    return replace(
        loss,
        class_weights=weights if by_class else tuple(1.0 for _ in weights),
        usual_sizes=None if loss.usual_sizes is None else sizes,
        largest_size=None if loss.largest_size is None else max(sizes),
        folds=None,
    )
