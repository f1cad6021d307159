"""A plan moved to another data set, so that weights trained by the one can start the other.

What shapes the network's weights and what they have seen is taken from the plan: topology, patch, spacing, batch,
normalisation, resampling, the kind of loss, the schedule. What only the new data can say is read from them: labels and
their weights, channels, intensities, sizes, levels, shifts, and the axes that may be mirrored. As in nnU-Net's transfer
of plans, pretraining and training then run on one grid.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autospine.data.geometry import resampled_shape
from autospine.data.slices import slice_axis
from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.anatomy_reasons import (
    mirror_reason,
    output_reason,
    shift_reason,
)
from autospine.planning.decide.data import data_reasons, planned_data
from autospine.planning.decide.grid import Grid, planned_grid
from autospine.planning.decide.loss import check_unit, renewed_loss
from autospine.planning.decide.reasons import BY_BATCH, BY_COMPONENT, MADE_FOR, PLAIN
from autospine.planning.decide.training import plan_training
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import DataPlan
from autospine.planning.document.decisions import LEFT_OUT, decisions
from autospine.planning.document.entering import Entering
from autospine.planning.document.parts import LossPlan
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.expected import expect
from autospine.planning.measured.anatomy import AXIS_NAMES, read_anatomy, read_patch_view
from autospine.planning.measured.fingerprint import Fingerprint

ALIKE = 2.0
"""Ratio of spacings below which no axis stands apart: the topology pools such axes together and gives them one kernel,
so that a patch may lie along any of them."""
TAKEN = "taken from the plan of"


def transfer_plan(source: Plan, fingerprint: Fingerprint, recipe: Recipe, *, machine: Machine = Machine()) -> Plan:
    """The plan `source` for the data set of `fingerprint`; `recipe` says how mirroring is chosen there.

    A configuration that the new data do not allow is left out with its reason (`left_out.2d`), and so is a cascade
    whose first stage is left out. Mirroring and rotation follow the order and sides of the new labels.
    The memory of a training step is estimated anew, for the `machine` that trains it.

    Raises:
        PlanError: another number of channels, or no configuration is left.
    """
    _check_channels(source, fingerprint)
    grid = planned_grid(fingerprint)
    data = planned_data(fingerprint, recipe, source.data.presence)
    configurations: list[Configuration] = []
    reasons = {"recipe": _taken(source)}
    reasons |= {key: _taken(source, why) for key, why in source.reasons.items() if key.startswith(f"{LEFT_OUT}.")}
    shapes = {item.name: _median_shape(item, fingerprint) for item in source.configurations}
    obstacles = {item.name: _obstacle(item, fingerprint, grid, shapes[item.name]) for item in source.configurations}
    for configuration in source.configurations:
        name, previous = configuration.name, configuration.previous
        if not obstacles[name] and previous is not None and obstacles[previous]:
            obstacles[name] = f"its first stage {previous} is left out"
        if obstacles[name]:
            reasons[f"{LEFT_OUT}.{name}"] = obstacles[name]
            continue
        moved, renewed = _move(configuration, fingerprint, data, recipe, shapes[name], machine)
        configurations.append(moved)
        taken = (decision for decision in decisions(source) if decision.key.startswith(f"{name}."))
        anew = {f"{name}.{section}" for section in ("expected", "loss.folds")}
        known = (item for item in taken if item.value is not None and anew.isdisjoint(item.sections))
        reasons |= {item.key: _taken(source, item.reason) for item in known}
        reasons[f"{name}.axis_order"] = f"{_taken(source)}; {_same_axes(configuration, grid)}"
        reasons |= {f"{name}.{key}": text for key, text in renewed.items()}
    names = [configuration.name for configuration in configurations]
    if not names:
        listed = "\n".join(f"{name}: {obstacle}" for name, obstacle in obstacles.items())
        found = f"no configuration of the plan of {source.data.dataset} suits these data\n{listed}"
        remedy = "plan these data by themselves, without --from"
        raise PlanError(fingerprint.dataset, found, "data that lie as the plan's do", remedy)
    if source.default in names:
        default, reasons["default"] = source.default, _taken(source, source.reasons.get("default", ""))
    else:
        default, reasons["default"] = names[0], f"the plan's {source.default} is left out for these data"
    return Plan(
        data,
        recipe=source.recipe,
        fingerprint_hash=fingerprint.hash(),
        configurations=tuple(configurations),
        default=default,
        reasons=reasons | _data_reasons(source, data, fingerprint, recipe),
    )


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


def _obstacle(configuration: Configuration, fingerprint: Fingerprint, grid: Grid, shape: tuple[int, ...]) -> str:
    """Why the new data do not allow the configuration; empty where they do."""
    together = 2 * configuration.neighbours + 1
    slices = float(np.median([case.cropped_shape[configuration.axis_order[0]] for case in fingerprint.cases]))
    if not _same_axes(configuration, grid):
        runs = f"the slices of these data run {AXIS_NAMES[grid.axis_order[0]]}"
        return f"{runs}, that of the plan {AXIS_NAMES[configuration.axis_order[0]]}: its patches would lie across it"
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
    if not told and max(grid.spacing_mm) < ALIKE * min(grid.spacing_mm):
        return f"no axis of these data is {ALIKE:g} times coarser than another"
    if not grid.flat and len(spacing) == 3 and max(spacing) < ALIKE * min(spacing):
        return f"no axis of the plan is {ALIKE:g} times coarser than another"
    return ""


def _median_shape(configuration: Configuration, fingerprint: Fingerprint) -> tuple[int, ...]:
    """Median case of the new data at the plan's spacing, planned axes."""
    target = configuration.spacing_mm
    axes = configuration.axis_order[-len(target) :]
    shapes = [
        resampled_shape([case.cropped_shape[axis] for axis in axes], [case.spacing_mm[axis] for axis in axes], target)
        for case in fingerprint.cases
    ]
    return tuple(max(1, round(float(edge))) for edge in np.median(np.asarray(shapes), axis=0))


def _move(
    configuration: Configuration,
    fingerprint: Fingerprint,
    data: DataPlan,
    recipe: Recipe,
    shape: tuple[int, ...],
    machine: Machine,
) -> tuple[Configuration, dict[str, str]]:
    """The configuration for the new data, and the reasons of what was renewed."""
    if configuration.by_component:
        check_unit("component", fingerprint, "plan these data without --from, by a recipe of unit class")
    entering = Entering.of(data, configuration.neighbours, cascade=configuration.previous is not None)
    network = replace(configuration.network, in_channels=entering.count, out_channels=data.outputs)
    anatomy = read_anatomy(fingerprint)
    patch_axes = configuration.axis_order[-network.dimension :]
    axes = tuple(anatomy[axis] for axis in patch_axes)
    view = read_patch_view(fingerprint, patch_axes)
    planned = plan_training(recipe, configuration.patch, axes, view)
    loss = renewed_loss(configuration, fingerprint, data)
    anatomical = {key: getattr(planned, key) for key in ("mirror_axes", "rotation_deg", "shift")}
    training = replace(configuration.training, **anatomical)
    moved = replace(
        configuration,
        median_shape=shape,
        network=network,
        loss=loss,
        training=training,
        expected=None,
    )
    moved = replace(moved, expected=expect(moved, machine))
    return moved, {
        "median_shape": f"median of the {len(fingerprint.cases)} cases, cropped and resampled to this spacing",
        "network.in_channels": f"what enters with {len(data.channels)} image channel(s)",
        "network.out_channels": output_reason(data),
        "loss.class_weights": _weights_reason(loss),
        **({} if loss.usual_sizes is None else {"loss.usual_sizes": "those of these labels"}),
        **({} if loss.largest_size is None else {"loss.largest_size": "that of these labels"}),
        "training.mirror_axes": mirror_reason(planned.mirror_axes, axes),
        "training.shift": shift_reason(recipe, view),
        "training.rotation_deg": "as far as the order and the sides of these labels allow",
        "expected.memory_gb": "estimated anew for these channels and labels",
        "expected.made_for": MADE_FOR,
    }


def _data_reasons(source: Plan, data: DataPlan, fingerprint: Fingerprint, recipe: Recipe) -> dict[str, str]:
    """What is known of the new data, and why; of the channels that may be missing a plan brings its own, by place."""
    reasons = data_reasons(data, fingerprint, recipe)
    if source.data.presence is None or data.presence is None:
        return reasons
    names = ", ".join(data.channels[index] for index in source.data.optional)
    brought = f"by their place, {names} could be missing in the plan that this was taken from"
    reasons["presence.channels"] += f"; {brought}"
    return reasons | {"presence.dropout": "that of the plan that this was taken from"}


def _weights_reason(loss: LossPlan) -> str:
    if loss.largest_size is not None:
        return BY_COMPONENT
    if loss.usual_sizes is not None:
        return BY_BATCH
    return "by the sizes of these labels" if loss.kind == "dice_size_adaptive_ce" else PLAIN
