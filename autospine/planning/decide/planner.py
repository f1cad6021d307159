"""From a fingerprint and a recipe to a plan: every number resolved, each with its reason.

`make_plan` plans the configurations that the data allow; `configure` resolves one of them and is what a time budget
calls again with a `Narrowing`. Both are pure: the same fingerprint and recipe give the same plan to the byte. What is
decided, and why, stands in the modules beside this one, which assembles it.
"""

from __future__ import annotations

from typing import Any

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.basis import Basis, Outline
from autospine.planning.decide.configurations import default_configuration, left_out
from autospine.planning.decide.data import planned_annotation
from autospine.planning.decide.decided import Decided, settle
from autospine.planning.decide.grid import planned_axes, planned_median
from autospine.planning.decide.intensities import planned_mask, planned_normalisation, planned_resampling
from autospine.planning.decide.loss import check_unit, planned_loss
from autospine.planning.decide.network import NOTHING, Narrowing, planned_neighbours, planned_network, planned_previous
from autospine.planning.decide.patch_and_batch import Size, planned_overlap, size_for_memory
from autospine.planning.decide.schedule_and_augmentation import planned_training
from autospine.planning.decide.topology import planned_memory_gb
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.decisions import LEFT_OUT
from autospine.planning.document.plan import Plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import Fingerprint


def make_plan(fingerprint: Fingerprint, recipe: Recipe, *, machine: Machine = Machine()) -> Plan:
    """The plan of a data set for the recipe's memory ("auto": `topology.DEFAULT_GB`).

    On `machine` the same memory may hold less than on the GPU that the rules mean. Which configurations the data allow
    is decided by `left_out`; those that they do not stand in the reasons. Raises PlanError where none is left.
    """
    basis = Basis.of(fingerprint, recipe, machine)
    absent = left_out(basis)
    names = [name for name in recipe.configurations if name not in absent]
    if not names:
        found = "; ".join(f"{name}: {absent[name]}" for name in recipe.configurations)
        remedy = "choose another recipe, or add a configuration (or lower neighbours) in your own"
        raise PlanError(fingerprint.dataset, found, "a configuration that the data allow", remedy)
    planned = [configure(basis, name) for name in names]
    reasons = {f"{LEFT_OUT}.{name}": why for name, why in absent.items()}
    return basis.plan(recipe.name, planned, default_configuration(basis, names), reasons)


def configure(basis: Basis, name: str, less: Narrowing = NOTHING) -> Decided[Configuration]:
    """The configuration `name`, one of `ConfigurationName`, with the reasons of its keys.

    Memory and machine as for `make_plan`. Raises PlanError for a low resolution or cascade that the rules leave out,
    and for regions that overlap where the recipe goes by components.
    """
    recipe = basis.recipe
    check_unit(recipe.unit, basis.fingerprint, 'set unit = "class" in a recipe of your own, or declare no regions')
    outline = Outline.of(basis, name, less)
    fixed = _without_patch(outline)

    def build(size: Size) -> Decided[Configuration]:
        return settle(Configuration, **fixed, **_with_patch(outline, size))

    def peak_gb(size: Size) -> float:
        return training_memory_gb(build(size).value, basis.machine)

    return build(size_for_memory(outline.frame, planned_memory_gb(recipe), peak_gb))


def _without_patch(outline: Outline) -> dict[str, Decided[Any]]:
    """What a configuration has whatever its patch, by key."""
    basis, recipe = outline.basis, outline.basis.recipe
    scales = planned_normalisation(basis.fingerprint.channels)
    return {
        "name": Decided(outline.name),
        "axis_order": planned_axes(outline.grid),
        "spacing_mm": Decided(outline.frame.spacing_mm, outline.why_spacing),
        "median_shape": planned_median(outline.frame.median_shape, len(basis.fingerprint.cases)),
        "normalisation": scales,
        "use_mask": planned_mask(basis.fingerprint.cases, scales.value),
        "resampling": planned_resampling(),
        "overlap": planned_overlap(recipe),
        "neighbours": planned_neighbours(recipe, outline.name),
        "previous": planned_previous(outline.name),
        "ignore_unlabelled_slices": planned_annotation(recipe),
    }


def _with_patch(outline: Outline, size: Size) -> dict[str, Decided[Any]]:
    """What else it has with a patch and a batch, by key."""
    basis, axes, net = outline.basis, outline.patch_axes, size.fit.topology
    recipe, data = basis.recipe, basis.data.value
    return {
        "patch": Decided(size.patch, size.why_patch),
        "batch": Decided(size.batch, size.why_batch),
        "network": planned_network(recipe, outline.name, data, outline.frame.family, net),
        "loss": planned_loss(outline, size.patch),
        "training": planned_training(
            recipe, size.patch, basis.anatomy.of_patch(axes), basis.anatomy.view_of(axes), basis.scans
        ),
    }
