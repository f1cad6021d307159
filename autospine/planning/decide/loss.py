"""The loss by the sizes of the classes: which cross entropy stands beside Dice, and what each class weighs in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autospine.errors import PlanError
from autospine.planning.decide import rules
from autospine.planning.document.parts import LossPlan, RegionsPlan, Unit
from autospine.planning.document.plan import Configuration
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


def planned_regions(fingerprint: Fingerprint) -> RegionsPlan | None:
    """`regions` of every configuration."""
    index = {value: place for place, (_, value) in enumerate(fingerprint.labels, start=1)}
    if not fingerprint.regions:
        return None
    names, values, written = zip(*fingerprint.regions, strict=True)
    return RegionsPlan(
        names, tuple(tuple(index[value] for value in held) for held in values), tuple(index[value] for value in written)
    )


def target_sizes(sizes: Sequence[float], regions: RegionsPlan | None) -> tuple[float, ...]:
    """Size of what is segmented, from the usual sizes of the classes: a region is as large as those in it together."""
    if regions is None:
        return tuple(sizes)
    return tuple(sum(sizes[value - 1] for value in held) for held in regions.classes)


def loss_weights(
    targets: Sequence[float], regions: RegionsPlan | None, alpha: float, weight_cap: float
) -> tuple[float, ...]:
    """Size-adaptive weights, one per network output, from the sizes of what is segmented: regions lack a background."""
    weights = rules.size_adaptive_weights(targets, alpha, weight_cap)
    return weights if regions is None else weights[1:]


def plan_loss(
    recipe: Recipe, sizes: Sequence[float], *, batch_dice: bool, regions: RegionsPlan | None = None
) -> LossPlan:
    """The recipe's loss, or the one that the usual sizes of the classes ask for."""
    targets = target_sizes(sizes, regions)
    kind = recipe.loss_kind(rules.size_ratio(targets))
    weights = loss_weights(targets, regions, recipe.alpha, recipe.weight_cap)
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
        names = ", ".join(name for name, *_ in fingerprint.regions)
        found = f'unit = "component", and regions that overlap ({names})'
        raise PlanError(fingerprint.dataset, found, "labels that do not overlap, or whole regions", remedy)


def renewed_loss(configuration: Configuration, fingerprint: Fingerprint, regions: RegionsPlan | None) -> LossPlan:
    """The same kind of loss for other data: with the weights and sizes of their classes, or `regions`.

    Nothing is said of folds, which are those of other data too.
    """
    loss = configuration.loss
    sizes = _sizes(configuration, fingerprint.cases, regions)
    weights = loss_weights(sizes, regions, loss.alpha, loss.weight_cap)
    by_class = loss.kind == "dice_size_adaptive_ce" and loss.largest_size is None and loss.usual_sizes is None
    return replace(
        loss,
        class_weights=weights if by_class else tuple(1.0 for _ in weights),
        usual_sizes=None if loss.usual_sizes is None else sizes,
        largest_size=None if loss.largest_size is None else max(sizes),
        folds=None,
    )


def _sizes(
    configuration: Configuration, cases: Sequence[CaseFingerprint], regions: RegionsPlan | None
) -> tuple[float, ...]:
    """Usual sizes of what is segmented: of the `regions`, or the classes."""
    return target_sizes(usual_sizes(cases, configuration.axis_order, configuration.spacing_mm), regions)
