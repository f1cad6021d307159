"""From a fingerprint and a recipe to a plan: every number resolved, each with its reason.

`make_plan` plans the configurations that the data allow; `configure` resolves one of them and is what a time budget
calls again with a `Narrowing`. Both are pure: the same fingerprint and recipe give the same plan to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import get_args

import numpy as np

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide import rules
from autospine.planning.decide.data import data_reasons, planned_data
from autospine.planning.decide.grid import Grid, planned_grid
from autospine.planning.decide.loss import check_unit, plan_loss, usual_sizes
from autospine.planning.decide.reasons import Facts, explain
from autospine.planning.decide.sizing import LowResolution, Share, low_resolution, size_for_memory
from autospine.planning.decide.topology import Fit, NetworkFamily
from autospine.planning.decide.training import plan_training
from autospine.planning.document.configuration import Configuration, ConfigurationName
from autospine.planning.document.entering import Entering
from autospine.planning.document.parts import NetworkPlan, Normalisation, ResamplingPlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.expected import expect
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.anatomy import read_anatomy, read_patch_view
from autospine.planning.measured.fingerprint import Fingerprint

LOW, CASCADE = "3d_lowres", "3d_cascade_fullres"


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
    blocks: int | None = None
    """Convolutions (plain) or residual blocks in every encoder stage."""
    decoder_convs: int | None = None
    """Convolutions in every decoder stage."""


def make_plan(fingerprint: Fingerprint, recipe: Recipe, *, machine: Machine = Machine()) -> Plan:
    """The plan of a data set for the recipe's memory ("auto": `rules.DEFAULT_GB`).

    On `machine` the same memory may hold less than on the GPU that the rules mean. Which configurations the data allow
    is decided by `_left_out`; those that they do not stand in the reasons. Raises PlanError where none is left.
    """
    grid = planned_grid(fingerprint)
    low = None if grid.flat else _low_resolution(fingerprint, recipe, grid)
    left_out = _left_out(recipe, grid, low)
    names = [name for name in recipe.configurations if name not in left_out]
    if not names:
        found = "; ".join(f"{name}: {left_out[name]}" for name in recipe.configurations)
        remedy = "choose another recipe, or add a configuration (or lower neighbours) in your own"
        raise PlanError(fingerprint.dataset, found, "a configuration that the data allow", remedy)
    configurations: list[Configuration] = []
    reasons = {f"left_out.{name}": reason for name, reason in left_out.items()}
    for name in names:
        configuration, why = configure(fingerprint, recipe, name, machine=machine)
        configurations.append(configuration)
        reasons |= why
    default, reasons["default"] = _default(names, recipe, grid)
    data = planned_data(fingerprint, recipe)
    return Plan(
        data,
        recipe=recipe.name,
        fingerprint_hash=fingerprint.hash(),
        configurations=tuple(configurations),
        default=default,
        reasons=reasons | data_reasons(data, fingerprint, recipe),
    )


def planned_memory_gb(recipe: Recipe) -> float:
    """Memory to plan for, 10^9 bytes: the recipe's, else the rules' own."""
    return rules.DEFAULT_GB if recipe.memory_gb == "auto" else recipe.memory_gb


def _left_out(recipe: Recipe, grid: Grid, low: LowResolution | None) -> dict[str, str]:
    """Why a configuration is not planned, by name; `low` is None for a data set of single slices."""
    found: dict[str, str] = {}
    slices = 2 * recipe.neighbours + 1
    for name in get_args(ConfigurationName):
        two, reason = name in ("2d", "2.5d"), ""
        if name not in recipe.configurations:
            reason = f"the recipe {recipe.name} does not plan it"
        elif two and min(grid.median_shape[1:]) <= 1:
            reason = "a slice of the median case is a single voxel wide"
        elif name == "2.5d" and grid.slices < slices:
            reason = f"it sees {slices} slices together, the median case has {grid.slices:g}"
        elif not two and low is None:
            reason = "the median case is a single slice: there is no third axis to learn from"
        elif name == LOW and low is not None:
            reason = _no_low_resolution(low)
        elif name == CASCADE and LOW in found:
            reason = f"there is no {LOW} whose segmentation it could refine: {found[LOW]}"
        if reason:
            found[name] = reason
    return found


def _no_low_resolution(low: LowResolution) -> str:
    """Why there is no low resolution; empty where there is one."""
    if low.planned:
        return ""
    asked = f"{rules.LOW_RESOLUTION_SHARE:.0%}"
    if low.seen >= rules.LOW_RESOLUTION_SHARE:
        seen = f"a patch of full resolution sees {min(low.seen, 1):.0%} of the median case"
        return f"{seen}, at least {asked} (nnU-Net v2.8)"
    return (
        f"where a patch sees {asked} of the median case there are only {low.gain:.2g} times fewer voxels, "
        f"under {rules.LOW_RESOLUTION_GAIN:g} (nnU-Net v2.8)"
    )


def _default(names: Sequence[str], recipe: Recipe, grid: Grid) -> tuple[str, str]:
    """The configuration to train first, and why."""
    if recipe.default in names:
        return recipe.default, f"the recipe {recipe.name} asks for it"
    if "3d_fullres" in names:
        name = "3d_fullres"
        why = f"the median case has {grid.median_shape[0]:g} slices: a 3D network sees them together"
    elif grid.flat:
        name, why = "2d", "the median case is a single slice: there is no third axis to learn from"
    else:
        # what sees the whole resolution goes before a low resolution, and that before the cascade on top of it
        name = min(names, key=(*[item for item in names if item not in (LOW, CASCADE)], LOW, CASCADE).index)
        why = f"the first that the recipe {recipe.name} plans and the data allow at full resolution"
        why = f"the recipe {recipe.name} plans nothing else that the data allow" if name == LOW else why
    asked = "" if recipe.default == "auto" else f"the recipe asks for {recipe.default}, which these data do not allow; "
    return name, asked + why


def _family(recipe: Recipe, dimension: int, out_channels: int, less: Narrowing) -> NetworkFamily:
    """The recipe's networks of that dimension, narrowed."""
    encoder = recipe.encoder
    blocks = rules.BLOCKS[encoder] if recipe.encoder_blocks == "auto" else recipe.encoder_blocks
    convs = rules.DECODER_CONVS[encoder] if recipe.decoder_convs == "auto" else recipe.decoder_convs
    return NetworkFamily(
        encoder=encoder,
        blocks=blocks if less.blocks is None else (less.blocks,),
        convs_decoder=convs if less.decoder_convs is None else less.decoder_convs,
        base_features=less.base_features or recipe.base_features,
        feature_cap=less.feature_cap or (recipe.max_features_2d if dimension == 2 else recipe.max_features_3d),
        out_channels=out_channels,
    )


def _low_resolution(
    fingerprint: Fingerprint, recipe: Recipe, grid: Grid, less: Narrowing | None = None
) -> LowResolution:
    """The low resolution for the recipe's 3D networks on `grid`."""
    family = _family(recipe, 3, len(fingerprint.regions) or len(fingerprint.labels) + 1, less or Narrowing())
    return low_resolution(grid.spacing_mm, grid.median_shape, family, planned_memory_gb(recipe))


def _grid_of(name: str, fingerprint: Fingerprint, recipe: Recipe, less: Narrowing) -> tuple[Grid, LowResolution | None]:
    """The grid of the configuration `name`, and the low resolution that goes with it (3D only).

    Raises PlanError where a low resolution is asked for that the rules do not plan.
    """
    rule = planned_grid(fingerprint)
    two = name in ("2d", "2.5d")
    low = None if two else _low_resolution(fingerprint, recipe, rule)
    if name in (LOW, CASCADE) and low is not None and not low.planned:
        found = f"{name}: {_no_low_resolution(low)}"
        raise PlanError(fingerprint.dataset, found, "a configuration of the plan", "name another configuration")
    if less.spacing_mm is not None:
        # in 2D the slices keep the rule's spacing, which only counts the data set's voxels
        grid = planned_grid(fingerprint, (*rule.spacing_mm[: 3 - len(less.spacing_mm)], *less.spacing_mm))
    elif name == LOW and low is not None:
        grid = replace(rule, spacing_mm=low.spacing_mm, median_shape=low.median_shape, voxels=low.voxels, moved=False)
    else:
        grid = rule
    if name == "3d_fullres" and less != Narrowing():
        low = _low_resolution(fingerprint, recipe, grid, less)
    return grid, low


def configure(
    fingerprint: Fingerprint,
    recipe: Recipe,
    name: str,
    *,
    narrowing: Narrowing | None = None,
    machine: Machine = Machine(),
) -> tuple[Configuration, dict[str, str]]:
    """The configuration `name`, one of `ConfigurationName`, and its reasons by dotted key (`2d.patch`).

    Memory and machine as for `make_plan`. Raises PlanError for a low resolution or cascade that the rules leave out,
    and for regions that overlap where the recipe goes by components.
    """
    check_unit(recipe.unit, fingerprint, 'set unit = "class" in a recipe of your own, or declare no regions')
    less, asked_gb = narrowing or Narrowing(), planned_memory_gb(recipe)
    dimension = 2 if name in ("2d", "2.5d") else 3
    grid, low = _grid_of(name, fingerprint, recipe, less)
    spacing, shape = grid.spacing_mm[-dimension:], grid.median_shape[-dimension:]
    data = planned_data(fingerprint, recipe)
    family = _family(recipe, dimension, data.outputs, less)
    normalisation = tuple(_normalisation(channel) for channel in fingerprint.channels)
    kept = float(np.median([prod(case.cropped_shape) / prod(case.shape) for case in fingerprint.cases]))
    neighbours = recipe.neighbours if name == "2.5d" else 0
    sizes = usual_sizes(fingerprint.cases, grid.axis_order, spacing)
    anatomy = read_anatomy(fingerprint)
    patch_axes = grid.axis_order[-dimension:]
    view = read_patch_view(fingerprint, patch_axes)
    axes = tuple(anatomy[axis] for axis in patch_axes)
    whole, rule_of_low = prod(shape), name != LOW and less.patch_limit is None

    entering = Entering.of(data, neighbours, cascade=name == CASCADE).count

    def build(fit: Fit, batch: int) -> Configuration:
        net, stages = fit.topology, len(fit.topology.strides)
        network = NetworkPlan(
            dimension=2 if dimension == 2 else 3,
            in_channels=entering,
            out_channels=data.outputs,
            features=family.features_of(stages),
            kernels=net.kernels,
            strides=net.strides,
            blocks=family.blocks_of(stages),
            encoder=family.encoder,
            convs_decoder=family.convs_decoder,
            bottleneck=rules.BOTTLENECK if recipe.bottleneck == "auto" else recipe.bottleneck,
        )
        training = plan_training(recipe, net.patch, axes, view)
        return Configuration(
            name=name,
            axis_order=grid.axis_order,
            spacing_mm=spacing,
            median_shape=tuple(max(1, round(edge)) for edge in shape),
            patch=net.patch,
            batch=batch,
            normalisation=normalisation,
            use_mask=kept < rules.MASK_FRACTION and "zscore" in normalisation,
            network=network,
            resampling=ResamplingPlan(anisotropy_threshold=rules.ANISOTROPY),
            loss=plan_loss(recipe, sizes, data, batch_dice=_batch_dice(name, low, less, prod(net.patch) / whole)),
            training=training,
            overlap=recipe.overlap,
            neighbours=neighbours,
            previous=LOW if name == CASCADE else None,
            ignore_unlabelled_slices=recipe.ignore_unlabelled_slices,
        )

    share = Share(grid.voxels * len(fingerprint.cases), _dataset_fraction(recipe), less.max_batch)
    size = size_for_memory(
        spacing,
        shape,
        family,
        asked_gb,
        share,
        lambda fit, batch: training_memory_gb(build(fit, batch), machine),
        less.patch_limit,
    )
    configuration = build(size.fit, size.batch)
    configuration = replace(configuration, expected=expect(configuration, machine))
    facts = Facts(
        recipe=recipe,
        data=data,
        cases=len(fingerprint.cases),
        axes=axes,
        view=view,
        grid=grid,
        sizes=sizes,
        kept=kept,
        asked_gb=asked_gb,
        machine=machine,
        fraction=share.fraction,
        max_batch=less.max_batch,
        size=size,
        low=low,
        seen=low.seen if rule_of_low and low is not None else prod(configuration.patch) / whole,
    )
    reasons = explain(configuration, facts)
    return configuration, {f"{name}.{key}": reason for key, reason in reasons.items()}


def _batch_dice(name: str, low: LowResolution | None, less: Narrowing, seen: float) -> bool:
    """Whether Dice is taken over the batch: where a patch, which sees the share `seen` of a case, may miss a label.

    The reference's rule is in place of the share whether there is a low resolution; a patch that a time budget
    narrowed is not the one of that rule.
    """
    if low is None:
        return True
    if less.patch_limit is not None:
        return seen < rules.LOW_RESOLUTION_SHARE
    return name != LOW and low.planned


def _dataset_fraction(recipe: Recipe) -> float:
    return rules.DATASET_FRACTION[recipe.encoder] if recipe.dataset_fraction == "auto" else recipe.dataset_fraction


def _normalisation(channel: str) -> Normalisation:
    return "ct" if rules.normalisation_of(channel) == "ct" else "zscore"
