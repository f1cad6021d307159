"""A plan moved to another data set, so that weights trained by the one can start the other.

What shapes the network's weights and what they have seen is taken from the plan: topology, patch, spacing, batch,
normalisation, resampling, the kind of loss, the schedule. What only the new data can say is decided anew: labels and
their weights, channels, intensities, sizes, levels, shifts, and the axes that may be mirrored. As in nnU-Net's transfer
of plans, pretraining and training then run on one grid.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from autospine.data.slices import slice_axis
from autospine.errors import PlanError
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.decided import Decided, settle
from autospine.planning.decide.grid import Grid, median_shape, planned_median
from autospine.planning.decide.loss import check_unit, renewed_loss
from autospine.planning.decide.network import planned_entering, planned_outputs
from autospine.planning.decide.schedule_and_augmentation import (
    planned_mirroring,
    planned_narrow_view,
    planned_random_contrast,
    planned_rotation,
    planned_shift,
)
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.decisions import LEFT_OUT, decisions
from autospine.planning.document.expected import Estimated
from autospine.planning.document.parts import NetworkPlan, TrainingPlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AXIS_NAMES
from autospine.planning.measured.fingerprint import Fingerprint

COARSER = 2.0
"""Ratio of spacings below which no axis stands apart: the topology pools such axes together and gives them one kernel,
so that a patch may lie along any of them."""
TAKEN = "taken from the plan of"
RENEWED = "estimated anew for these channels and labels"
"""Why a training of a moved plan is expected to take the memory that it is."""


def transfer_plan(source: Plan, fingerprint: Fingerprint, recipe: Recipe) -> Plan:
    """The plan `source` for the data set of `fingerprint`; `recipe` says how mirroring is chosen there.

    A configuration that the new data do not allow is left out with its reason (`left_out.2d`), and so is a cascade
    whose first stage is left out. Mirroring and rotation follow the order and sides of the new labels.

    Raises:
        PlanError: another number of channels, or no configuration is left.
    """
    _check_channels(source, fingerprint)
    basis = Basis.of(fingerprint, recipe, taken=source.data.presence)
    absent = _left_out(source, basis)
    moved = [_move(source, one, basis) for one in source.configurations if one.name not in absent]
    if not moved:
        listed = "\n".join(f"{name}: {obstacle}" for name, obstacle in absent.items())
        found = f"no configuration of the plan of {source.data.dataset} suits these data\n{listed}"
        remedy = "plan these data by themselves, without --from"
        raise PlanError(fingerprint.dataset, found, "data that lie as the plan's do", remedy)
    reasons = {"recipe": _taken(source)}
    reasons |= {key: _taken(source, why) for key, why in source.reasons.items() if key.startswith(f"{LEFT_OUT}.")}
    reasons |= {f"{LEFT_OUT}.{name}": obstacle for name, obstacle in absent.items()}
    if source.default in absent:
        default = Decided(moved[0].value.name, f"the plan's {source.default} is left out for these data")
    else:
        default = Decided(source.default, _taken(source, source.reasons.get("default", "")))
    return basis.plan(source.recipe, moved, default, reasons)


def _check_channels(source: Plan, fingerprint: Fingerprint) -> None:
    ours, theirs = fingerprint.channels, source.data.channels
    if len(ours) != len(theirs):
        found = f"{len(ours)} channel(s) ({', '.join(ours)}); the plan of {source.data.dataset} has {len(theirs)}"
        found += f" ({', '.join(theirs)})"
        remedy = "give data with as many channels, or plan these without --from"
        raise PlanError(fingerprint.dataset, found, "as many channels as the network takes", remedy)


def _taken(source: Plan, reason: str = "") -> str:
    """The reason of a moved value; one that was moved before keeps the data set that it first came from."""
    if reason.startswith(TAKEN):
        return reason
    return f"{TAKEN} {source.data.dataset}" + (f"; there: {reason}" if reason else "")


def _left_out(source: Plan, basis: Basis) -> dict[str, str]:
    """Why the new data do not allow a configuration, by name; nothing of those that they allow."""
    found = {one.name: _obstacle(one, basis) for one in source.configurations}
    for one in source.configurations:
        if not found[one.name] and one.previous is not None and found[one.previous]:
            found[one.name] = f"its first stage {one.previous} is left out"
    return {name: obstacle for name, obstacle in found.items() if obstacle}


def _obstacle(configuration: Configuration, basis: Basis) -> str:
    """Why the new data do not allow the configuration; empty where they do."""
    order, grid, cases = configuration.axis_order, basis.grid, basis.fingerprint.cases
    together = 2 * configuration.neighbours + 1
    slices = float(np.median([case.cropped_shape[order[0]] for case in cases]))
    shape = _median(configuration, basis).value
    if not _same_axes(configuration, grid):
        runs = f"the slices of these data run {AXIS_NAMES[grid.axis_order[0]]}"
        return f"{runs}, that of the plan {AXIS_NAMES[order[0]]}: its patches would lie across it"
    if min(shape) == 1:
        return f"the median case has {' x '.join(map(str, shape))} voxels at the plan's spacing"
    if slices < together:
        return f"it sees {together} slices together, the median case has {slices:g}"
    return ""


def _same_axes(configuration: Configuration, grid: Grid) -> str:
    """Why the plan's axis order holds for the new data; empty where it does not.

    Where the slices lie along the same axis, a patch lies in the body as it did. Where they do not, the order still
    holds if the axes cannot be told apart: the new data's spacings are alike, and no axis has far fewer voxels, or, in
    3D, the plan's spacings are.
    """
    first, spacing = configuration.axis_order[0], configuration.spacing_mm
    if grid.axis_order[0] == first:
        return f"the slices of these data run {AXIS_NAMES[first]} as well"
    told = slice_axis(grid.median_shape, grid.spacing_mm).why in ("flat", "few")
    if not told and max(grid.spacing_mm) < COARSER * min(grid.spacing_mm):
        return f"no axis of these data is {COARSER:g} times coarser than another"
    if not grid.flat and len(spacing) == 3 and max(spacing) < COARSER * min(spacing):
        return f"no axis of the plan is {COARSER:g} times coarser than another"
    return ""


def _median(configuration: Configuration, basis: Basis) -> Decided[tuple[int, ...]]:
    """Median case of the new data at the plan's spacing."""
    shape = median_shape(basis.fingerprint, configuration.patch_axes, configuration.spacing_mm)
    return planned_median(shape, len(basis.fingerprint.cases))


def _move(source: Plan, configuration: Configuration, basis: Basis) -> Decided[Configuration]:
    """The configuration for the new data, with the reasons of what was taken and of what was decided anew."""
    if configuration.by_component:
        remedy = "plan these data without --from, by a recipe of unit class"
        check_unit("component", basis.fingerprint, remedy)
    data, name = basis.data.value, configuration.name
    order = f"{_taken(source)}; {_same_axes(configuration, basis.grid)}"
    renewed = settle(
        partial(replace, configuration),
        axis_order=Decided(configuration.axis_order, order),
        median_shape=_median(configuration, basis),
        network=_renewed_network(configuration, basis),
        loss=renewed_loss(configuration, basis.fingerprint, data),
        training=_renewed_training(configuration, basis),
    )
    taken = {
        item.key.removeprefix(f"{name}."): _taken(source, item.reason)
        for item in decisions(Estimated(source))
        if item.key.startswith(f"{name}.") and item.value is not None and f"{name}.loss.folds" not in item.sections
    }
    return replace(renewed, why={**taken, **renewed.keyed})


def _renewed_network(configuration: Configuration, basis: Basis) -> Decided[NetworkPlan]:
    """The same network between the channels and labels of the new data."""
    data = basis.data.value
    entering = planned_entering(data, configuration.neighbours, configuration.previous)
    why = f"what enters with {len(data.channels)} image channel(s)"
    return settle(
        partial(replace, configuration.network),
        in_channels=Decided(entering.value, why),
        out_channels=planned_outputs(data),
    )


def _renewed_training(configuration: Configuration, basis: Basis) -> Decided[TrainingPlan]:
    """The same training, augmented as the new labels allow."""
    recipe, patch, axes = basis.recipe, configuration.patch, configuration.patch_axes
    anatomy = basis.anatomy.of_patch(axes)
    rotation = planned_rotation(recipe, patch, anatomy)
    return settle(
        partial(replace, configuration.training),
        mirror_axes=planned_mirroring(recipe, anatomy),
        rotation_deg=replace(rotation, why="as far as the order and the sides of these labels allow"),
        shift=planned_shift(recipe, basis.anatomy.view_of(axes)),
        narrow_view=planned_narrow_view(recipe, basis.anatomy.view_of(axes)),
        random_contrast=planned_random_contrast(recipe, basis.scans),
    )
