"""From a fingerprint and a recipe to a plan: every number resolved, each with its reason.

`make_plan` plans the configurations that the data allow; `configure` resolves one of them and is what a time budget
calls again with a `Narrowing`. Both are pure: the same fingerprint and recipe give the same plan to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from autospine.errors import PlanError
from autospine.planning import rules
from autospine.planning.anatomy import AxisAnatomy, read_anatomy
from autospine.planning.fingerprint import Fingerprint
from autospine.planning.loss import plan_loss, usual_sizes
from autospine.planning.plan import (
    Configuration,
    IntensityPlan,
    NetworkPlan,
    Normalisation,
    Plan,
    ResamplingPlan,
    TrainingPlan,
)
from autospine.planning.reasons import Facts, explain
from autospine.planning.recipe import Recipe
from autospine.planning.topology import Fit, fit_patch, has_low_resolution


@dataclass(frozen=True)
class Narrowing:
    """What a time budget may take from a configuration; None leaves the rule's own."""

    spacing_mm: tuple[float, ...] | None = None
    """Target spacing of the configuration's axes, planned order."""
    base_features: int | None = None
    """Feature maps of the finest stage."""
    feature_cap: int | None = None
    """Cap of the feature maps."""
    max_batch: int | None = None
    """Largest batch; may lie below the rules' own minimum."""
    patch_limit: tuple[float, ...] | None = None
    """Largest patch in voxels, planned order; poolings may pad it up."""


@dataclass(frozen=True)
class Grid:
    """The data set on its planned axes."""

    axis_order: tuple[int, int, int]
    """Canonical axis at each planned axis."""
    spacing_mm: tuple[float, ...]
    """Target spacing of the three planned axes."""
    median_shape: tuple[float, ...]
    """Median case at target spacing; halves are possible."""
    moved: bool
    """Whether the coarse axis took its 10th percentile."""

    @property
    def flat(self) -> bool:
        """Whether the median case has a single slice."""
        return self.median_shape[0] == 1


def planned_grid(fingerprint: Fingerprint, target_mm: Sequence[float] | None = None) -> Grid:
    """Axis order, target spacing and median shape; `target_mm` (3, planned order) replaces the rule's spacing."""
    spacings = [case.spacing_mm for case in fingerprint.cases]
    shapes = [case.cropped_shape for case in fingerprint.cases]
    rule, moved = rules.target_spacing(spacings, shapes)
    order = rules.order_axes(rule, np.median(np.asarray(shapes), axis=0).tolist())
    planned = tuple(rule[axis] for axis in order) if target_mm is None else tuple(target_mm)
    canonical = [planned[order.index(axis)] for axis in range(3)]
    resampled = [rules.resampled_shape(*pair, canonical) for pair in zip(shapes, spacings, strict=True)]
    median = np.median(np.asarray(resampled), axis=0)
    return Grid(order, planned, tuple(float(median[axis]) for axis in order), moved)


def make_plan(fingerprint: Fingerprint, recipe: Recipe, *, memory_gb: float | None = None) -> Plan:
    """The plan of a data set for `memory_gb` (None: the recipe's own).

    `2d` is planned where a slice has more than one voxel along both of its axes, `3d_fullres` where the median case
    has more than one slice. Raises PlanError where the recipe's configurations are none of these.
    """
    grid = planned_grid(fingerprint)
    possible = {"2d": min(grid.median_shape[1:]) > 1, "3d_fullres": not grid.flat}
    names: list[str] = [name for name in recipe.configurations if possible[name]]
    if not names:
        found = f"the recipe plans {', '.join(recipe.configurations)}, the median case has shape {grid.median_shape}"
        raise PlanError(fingerprint.dataset, found, "a configuration that the data allow", "choose another recipe")
    configurations: list[Configuration] = []
    reasons: dict[str, str] = {}
    for name in names:
        configuration, why = configure(fingerprint, recipe, name, memory_gb=memory_gb)
        configurations.append(configuration)
        reasons |= why
    default, reasons["default"] = _default(names, recipe, grid)
    return Plan(
        dataset=fingerprint.dataset,
        recipe=recipe.name,
        fingerprint_hash=fingerprint.hash(),
        channels=fingerprint.channels,
        labels=fingerprint.labels,
        intensities=tuple(
            IntensityPlan(channel.mean, channel.std, channel.percentile_00_5, channel.percentile_99_5)
            for channel in fingerprint.intensities
        ),
        configurations=tuple(configurations),
        default=default,
        reasons=reasons,
    )


def _default(names: list[str], recipe: Recipe, grid: Grid) -> tuple[str, str]:
    """The configuration to train first, and why."""
    if recipe.default in names:
        return recipe.default, f"the recipe {recipe.name} asks for it"
    if recipe.default != "auto":
        return names[0], f"the recipe asks for {recipe.default}, which these data do not allow"
    if "3d_fullres" in names:
        return "3d_fullres", f"the median case has {grid.median_shape[0]:g} slices: a 3D network sees them together"
    if grid.flat:
        return "2d", "the median case is a single slice: there is no third axis to learn from"
    return names[0], f"the only configuration that the recipe {recipe.name} plans"


def configure(
    fingerprint: Fingerprint,
    recipe: Recipe,
    name: str,
    *,
    narrowing: Narrowing | None = None,
    memory_gb: float | None = None,
) -> tuple[Configuration, dict[str, str]]:
    """The configuration `name` (`2d` or `3d_fullres`) and its reasons by dotted key (`2d.patch`)."""
    less, memory = narrowing or Narrowing(), recipe.memory_gb if memory_gb is None else memory_gb
    dimension = 2 if name == "2d" else 3
    rule_grid = planned_grid(fingerprint)
    if less.spacing_mm is None:
        grid = rule_grid
    else:  # in 2D the slices keep the rule's spacing, which only counts the data set's voxels
        grid = planned_grid(fingerprint, (*rule_grid.spacing_mm[: 3 - dimension], *less.spacing_mm))
    spacing, shape = grid.spacing_mm[-dimension:], grid.median_shape[-dimension:]
    out_channels = len(fingerprint.labels) + 1
    base = less.base_features or recipe.base_features
    cap = less.feature_cap or (recipe.max_features_2d if dimension == 2 else recipe.max_features_3d)
    convs = (recipe.convs_encoder, recipe.convs_decoder)
    fit = fit_patch(
        spacing,
        shape,
        out_channels=out_channels,
        base_features=base,
        feature_cap=cap,
        memory_gb=memory,
        convs=convs,
        limit=less.patch_limit,
    )
    patch = fit.topology.patch
    by_memory = rules.batch_by_memory(dimension, fit.elements, memory)
    by_dataset = rules.batch_by_dataset(
        prod(grid.median_shape) * len(fingerprint.cases), recipe.dataset_fraction, patch
    )
    batch = max(min(by_memory, by_dataset), rules.MINIMUM_BATCH)
    batch = batch if less.max_batch is None else min(batch, less.max_batch)
    low_resolution = dimension == 3 and has_low_resolution(
        spacing,
        shape,
        out_channels=out_channels,
        base_features=base,
        feature_cap=cap,
        memory_gb=memory,
        convs=convs,
    )
    normalisation = tuple(_normalisation(channel) for channel in fingerprint.channels)
    kept = float(np.median([prod(case.cropped_shape) / prod(case.shape) for case in fingerprint.cases]))
    network = NetworkPlan(
        dimension=2 if dimension == 2 else 3,
        in_channels=len(fingerprint.channels),
        out_channels=out_channels,
        features=fit.features,
        kernels=fit.topology.kernels,
        strides=fit.topology.strides,
        convs_encoder=recipe.convs_encoder,
        convs_decoder=recipe.convs_decoder,
        bottleneck=recipe.bottleneck,
    )
    sizes = usual_sizes(fingerprint.cases, grid.axis_order, spacing)
    anatomy = read_anatomy(fingerprint)
    axes = tuple(anatomy[axis] for axis in grid.axis_order[-dimension:])
    loss = plan_loss(recipe, sizes, batch_dice=dimension == 2 or low_resolution)
    configuration = Configuration(
        name=name,
        axis_order=grid.axis_order,
        spacing_mm=spacing,
        median_shape=tuple(max(1, round(edge)) for edge in shape),
        patch=patch,
        batch=batch,
        normalisation=normalisation,
        use_mask=kept < rules.MASK_FRACTION and "zscore" in normalisation,
        network=network,
        resampling=ResamplingPlan(anisotropy_threshold=rules.ANISOTROPY),
        loss=loss,
        training=_training(recipe, patch, axes),
        overlap=recipe.overlap,
    )
    facts = Facts(
        recipe=recipe,
        cases=len(fingerprint.cases),
        classes=tuple(label for label, _ in fingerprint.labels),
        axes=axes,
        moved=grid.moved and less.spacing_mm is None,
        sizes=sizes,
        kept=kept,
        memory_gb=memory,
        elements=fit.elements,
        shrunk=fit.shrunk,
        by_memory=by_memory,
        by_dataset=by_dataset,
        too_large=_too_large(fit, dimension, memory),
        low_resolution=low_resolution,
    )
    return configuration, {f"{name}.{key}": reason for key, reason in explain(configuration, facts).items()}


def _too_large(fit: Fit, dimension: int, memory_gb: float) -> bool:
    """Whether even the smallest patch costs more than the memory."""
    return fit.elements / rules.REFERENCE_BATCH[dimension] * 2 > rules.memory_elements(dimension, memory_gb)


def _normalisation(channel: str) -> Normalisation:
    return "ct" if rules.normalisation_of(channel) == "ct" else "zscore"


def _training(recipe: Recipe, patch: Sequence[int], axes: Sequence[AxisAnatomy]) -> TrainingPlan:
    """Schedule and augmentation; mirroring and rotation heed ordered and sided axes."""
    everything = tuple(range(len(patch)))
    match recipe.mirror:
        case "all":
            mirror = everything
        case "none":
            mirror = ()
        case "auto":
            mirror = tuple(axis for axis in everything if not axes[axis].directed)
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
    return TrainingPlan(
        optimiser=recipe.optimiser,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        warmup=recipe.warmup,
        poly_power=recipe.poly_power,
        clip_norm=recipe.clip_norm,
        epochs=recipe.epochs,
        steps_per_epoch=recipe.steps_per_epoch,
        validation_steps=recipe.validation_steps,
        budget_s=None,
        oversample_foreground=recipe.oversample_foreground,
        mirror_axes=mirror,
        rotation_deg=rotation,
        rotate_in_plane=in_plane,
        scale_range=recipe.scale_range,
        seed=recipe.seed,
    )
