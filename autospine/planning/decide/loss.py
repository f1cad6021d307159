"""The loss by the sizes of what is segmented: which cross entropy stands beside Dice, and what each class weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from autospine.errors import PlanError
from autospine.planning.decide.basis import Outline
from autospine.planning.decide.decided import RULE, Decided, settle
from autospine.planning.decide.grid import LOW_SHARE
from autospine.planning.document.configuration import LOW, Configuration
from autospine.planning.document.data import DataPlan
from autospine.planning.document.parts import By, LossKind, LossPlan, Unit
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint


def usual_sizes(
    cases: Sequence[CaseFingerprint], axis_order: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[float, ...]:
    """Usual size of each class at the planned spacing: voxels in 3D, area per slice in 2D (two spacings)."""
    dimension = len(spacing_mm)
    axes, first = axis_order[-dimension:], axis_order[0]
    return class_sizes(
        [case.class_voxels for case in cases],
        [[slices[first] if dimension == 2 else 1 for slices in case.class_slices] for case in cases],
        [[case.spacing_mm[axis] for axis in axes] for case in cases],
        spacing_mm,
    )


def class_sizes(
    voxels: Sequence[Sequence[int]],
    slices: Sequence[Sequence[int]],
    spacings_mm: Sequence[Sequence[float]],
    target_mm: Sequence[float],
) -> tuple[float, ...]:
    """Usual size s_c of each class in voxels at the plan's spacing; 0 for a class no case contains.

    `voxels` is (cases, classes). `spacings_mm` (cases, n) and `target_mm` (n) hold the axes that count: all three
    in 3D, the in-plane ones in 2D. `slices` (cases, classes) counts the slices over which a case's voxels spread in 2D,
    all ones in 3D. The size is the median over the cases that contain the class: our own definition (docs/papers.md),
    after Zhang et al. 2023 (doi 10.1145/3587716.3587777).
    """
    counts = np.asarray(voxels, dtype=np.float64)
    spread = np.maximum(np.asarray(slices, dtype=np.float64), 1)
    scale = np.prod(np.asarray(spacings_mm, dtype=np.float64), axis=1) / float(np.prod(target_mm))
    sizes = counts / spread * scale[:, None]
    present = [sizes[counts[:, index] > 0, index] for index in range(counts.shape[1])]
    return tuple(float(np.median(size)) if size.size else 0.0 for size in present)


def target_sizes(sizes: Sequence[float], data: DataPlan) -> tuple[float, ...]:
    """Size of what is segmented, from the usual sizes of the classes: a region is as large as those in it together."""
    return tuple(sum(sizes[value - 1] for value in held) for held in data.members)


def size_ratio(sizes: Sequence[float]) -> float:
    """Largest over smallest size among the classes that occur; 1 where fewer than two do."""
    present = [size for size in sizes if size > 0]
    return max(present) / min(present) if present else 1.0


def size_adaptive_weights(sizes: Sequence[float], alpha: float = 0.5, cap: float = 5.0) -> tuple[float, ...]:
    """Cross-entropy weight per class, background first: clip((max s / s_c) ** alpha, 1, cap).

    `sizes` has one value per class without background; a class of size 0 never occurs and weighs 1. Ours (the
    published formula of the size-adaptive loss could not be had): background is no anatomy and weighs 1, so do all
    classes where alpha = 0, cap = 1 or the sizes are equal.
    """
    largest = max(sizes, default=0.0)
    weights = [min(max((largest / size) ** alpha, 1.0), cap) if size > 0 else 1.0 for size in sizes]
    return (1.0, *weights)


SIZE_RATIO_REASONS = {
    False: "at 4.8 and 15 times the size-adaptive loss did not help (docs/benchmarks/budget.md)",
    True: "at 60 times the smaller class gained (docs/benchmarks/budget.md)",
}
"""Why a recipe's `size_ratio` is not reached, or is: its default lies below the ratio that was measured to gain."""


def planned_loss(outline: Outline, patch: Sequence[int]) -> Decided[LossPlan]:
    """The recipe's loss, or the one that the usual sizes of what is segmented ask for."""
    basis, recipe, data = outline.basis, outline.basis.recipe, outline.basis.data.value
    classes = usual_sizes(basis.fingerprint.cases, outline.grid.axis_order, outline.frame.spacing_mm)
    sizes = target_sizes(classes, data)
    kind = planned_kind(recipe, sizes, data, "pixels per slice" if outline.flat else "voxels")
    by: By = "batch" if recipe.size_source == "batch" else "class"
    if recipe.unit == "component":
        by = "component"
    if kind.value != "dice_size_adaptive_ce":
        by = "nothing"
    largest = max(zip(sizes, data.targets, strict=True))
    usual = f"usual size of {largest[1]}" if largest[0] > 0 else f"no {_what(data)} occurs in any case"
    law = f"(largest size / size) ^ {recipe.alpha:g}, at most {recipe.weight_cap:g}"
    said = {
        "class": law if data.regions else f"{law}; background, which is no anatomy, 1",
        "batch": f"{recipe.said}: the weights of a step go by the geometric mean of these and its batch's own",
        "component": f"{recipe.said}: {usual}; a connected component weighs {law}, at least 1",
    }
    return settle(
        LossPlan,
        kind=kind,
        batch_dice=planned_batch_dice(outline, patch),
        alpha=Decided(recipe.alpha, recipe.said),
        weight_cap=Decided(recipe.weight_cap, recipe.said),
        smooth=Decided(LossPlan.smooth, "keeps Dice defined where a label is absent"),
        **weigh(sizes, data, by, recipe.alpha, recipe.weight_cap, said),
    )


def planned_kind(recipe: Recipe, sizes: Sequence[float], data: DataPlan, unit: str) -> Decided[LossKind]:
    """Which cross entropy stands beside Dice; sizes of what is segmented are in `unit`."""
    present = [(size, name) for size, name in zip(sizes, data.targets, strict=True) if size > 0]
    what, ratio = _what(data), size_ratio(sizes)
    if len(present) >= 2:
        (large, most), (small, least) = max(present), min(present)
        found = f"largest {what} {most} ({large:.0f} {unit}) over smallest {least} ({small:.0f}): {ratio:.2g} times"
    else:
        found = f"{f'one {what}' if present else f'no {what} occurs in any case'}: nothing to balance"
    if recipe.loss != "auto":
        return Decided(recipe.loss, f"{recipe.said} asks for it; {found}")
    differ = ratio >= recipe.size_ratio
    if len(present) >= 2:
        side = "at least" if differ else "below"
        found = f"{found}, {side} {recipe.size_ratio:g}; {SIZE_RATIO_REASONS[differ]}"
    return Decided("dice_size_adaptive_ce" if differ else "dice_ce", found)


def _what(data: DataPlan) -> str:
    return "region" if data.regions else "label"


def weigh(
    sizes: Sequence[float], data: DataPlan, by: By, alpha: float, weight_cap: float, said: Mapping[str, str]
) -> dict[str, Decided[Any]]:
    """Weights and sizes in a loss plan, by key, from `sizes` of what is segmented; `said` is why, for each `by`."""
    # one weight per network output: regions lack a background
    weights = size_adaptive_weights(sizes, alpha, weight_cap)[-data.outputs :]
    plain = tuple(1.0 for _ in weights)
    numbers: dict[str, Decided[Any]] = {"usual_sizes": Decided(None), "largest_size": Decided(None)}
    match by:
        case "class":
            numbers["class_weights"] = Decided(weights, said["class"])
        case "batch":
            numbers["class_weights"] = Decided(plain, "the sizes in each batch weigh the classes, see usual_sizes")
            numbers["usual_sizes"] = Decided(tuple(sizes), said["batch"])
        case "component":
            own = "each connected component of a label weighs by its own size, see largest_size"
            numbers["class_weights"] = Decided(plain, own)
            numbers["largest_size"] = Decided(max(sizes), said["component"])
        case "nothing":
            numbers["class_weights"] = Decided(plain, "plain cross entropy weighs all alike")
    return numbers


def planned_batch_dice(outline: Outline, patch: Sequence[int]) -> Decided[bool]:
    """Whether Dice is taken over the batch: where a patch may miss a label.

    The reference's rule is in place of the share that a patch sees whether there is a low resolution; a patch that a
    time budget narrowed is not the one of that rule.
    """
    if outline.flat:
        return Decided(True, f"a slice may miss a label, the batch as one volume seldom does ({RULE})")
    low, narrowed = outline.name == LOW, outline.less.patch_limit is not None
    seen = prod(patch) / prod(outline.frame.median_shape) if low or narrowed else outline.low.seen
    saw, asked = f"a patch sees {min(seen, 1):.1%} of the median case", f"{LOW_SHARE:.0%}"
    if seen >= LOW_SHARE:
        why = f"at least {asked}"
    elif low and not narrowed:
        why = f"the low resolution was chosen for about {asked}"
    elif not narrowed and not outline.low.planned:
        why = f"too near {asked} for a low resolution to pay"
    else:
        missed = "may miss a label; the batch as one volume seldom does"
        return Decided(True, f"{saw}, under {asked}, and {missed} ({RULE})")
    return Decided(False, f"{saw}, {why}: Dice is taken per patch ({RULE})")


def check_unit(unit: Unit, fingerprint: Fingerprint, remedy: str) -> None:
    """Nothing; PlanError where components are asked for and regions overlap: a voxel would lie in several of them."""
    if unit == "component" and fingerprint.regions:
        names = ", ".join(region.name for region in fingerprint.regions)
        found = f'unit = "component", and regions that overlap ({names})'
        raise PlanError(fingerprint.dataset, found, "labels that do not overlap, or whole regions", remedy)


BY_NEW_LABELS = {
    "class": "by the sizes of these labels",
    "batch": "those of these labels",
    "component": "that of these labels",
}


def renewed_loss(configuration: Configuration, fingerprint: Fingerprint, data: DataPlan) -> Decided[LossPlan]:
    """The same kind of loss for other `data`, or some of their cases: with the weights and sizes of their targets.

    Nothing is said of folds, which are those of other data too. Reasons are those of what was renewed.
    """
    loss = configuration.loss
    classes = usual_sizes(fingerprint.cases, configuration.axis_order, configuration.spacing_mm)
    numbers = weigh(target_sizes(classes, data), data, loss.by, loss.alpha, loss.weight_cap, BY_NEW_LABELS)
    return settle(partial(replace, loss), **numbers, folds=Decided(None))
