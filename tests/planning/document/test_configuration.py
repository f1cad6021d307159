"""A configuration: what has to fit together in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from tests.planning.document.edited import FILE, HERE, REMEDY, edit, flat

FAULTS = [
    ("patch = [8, 16, 16]", "patch = [8, 16, 17]", f"{HERE}.patch", "found [8, 16, 17]",
     "multiples of [2, 2, 2], what the network's strides divide by"),
    ("patch = [8, 16, 16]", "patch = [8, 16]", f"{HERE}.patch", "found [8, 16]", "3 numbers above 0"),
    ("batch = 2", "batch = 0", f"{HERE}.batch", "found 0", "from 1 to 10000"),
    ("spacing_mm = [1.0, 1.0, 1.0]", "spacing_mm = [1.0, 0.0, 1.0]", f"{HERE}.spacing_mm", "found [1.0, 0.0, 1.0]",
     "from 0.01 to 1000 mm"),
    ("spacing_mm = [1.0, 1.0, 1.0]", "spacing_mm = [1.0, -1.0, 1.0]", f"{HERE}.spacing_mm", "found [1.0, -1.0, 1.0]",
     "from 0.01 to 1000 mm"),
    ("axis_order = [0, 1, 2]", "axis_order = [0, 1, 1]", f"{HERE}.axis_order", "found [0, 1, 1]",
     "an order of the axes 0, 1, 2"),
    ("class_weights = [1.0, 1.0, 1.0, 1.0]", "class_weights = [1.0, 1.0, 1.0]", f"{HERE}.loss.class_weights",
     "found [1.0, 1.0, 1.0]", "one per network output"),
    ("mirror_axes = [0, 1, 2]", "mirror_axes = [0, 3]", f"{HERE}.training.mirror_axes", "found [0, 3]",
     "distinct patch axes from 0 to 2"),
    ("overlap = 0.5", "overlap = 1", f"{HERE}.overlap", "found 1.0", "from 0 to below 1"),
    ("neighbours = 0", "neighbours = 1", f"{HERE}.neighbours", "found 1", "0 for a 3D network"),
    ("out_channels = 4", "out_channels = 3", f"{HERE}.loss.class_weights", "found [1.0, 1.0, 1.0, 1.0]",
     "one per network output"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "key", "found", "expected"), FAULTS)
def test_a_fault_of_a_configuration_is_told_in_full(
    text: str, old: str, new: str, key: str, found: str, expected: str
) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(edit(text, (old, new)), FILE)
    error = caught.value
    assert (error.where, error.found, error.expected, error.remedy) == (f"{FILE}, key {key}", found, expected, REMEDY)


@pytest.mark.parametrize(("name", "dimension"), [("3d_fullres", 3), ("2d", 2), ("2.5d", 2), ("3d_lowres", 3)])
def test_slices_and_volumes_have_the_network_of_their_name(
    make_configuration: Callable[..., Configuration], name: str, dimension: int
) -> None:
    other = make_configuration() if dimension == 2 else flat(make_configuration)
    with pytest.raises(PlanError) as caught:
        replace(other, name=name)
    assert caught.value.where == "network.dimension"
    assert caught.value.expected == f"{dimension}, as {name} says"


def test_the_previous_stage_is_one_of_volumes(
    make_plan: Callable[..., Plan], make_configuration: Callable[..., Configuration]
) -> None:
    full, low = make_configuration(), make_configuration(name="3d_lowres")
    network = replace(full.network, in_channels=1 + 3)
    cascade = make_configuration(name="3d_cascade_fullres", network=network, previous="3d_lowres")
    text = plan_to_toml(make_plan(full, configurations=(flat(make_configuration), full, low, cascade)))
    for edited, expected in (
        ("2d", "a configuration of volumes: 3d_fullres, 3d_lowres, 3d_cascade_fullres"),
        ("3d_cascade_fullres", "another configuration"),
    ):
        with pytest.raises(PlanError) as caught:
            plan_from_toml(edit(text, ('previous = "3d_lowres"', f'previous = "{edited}"')), FILE)
        assert caught.value.where == f"{FILE}, key configurations.3d_cascade_fullres.previous"
        assert caught.value.expected == expected


def test_a_configuration_has_one_of_the_five_names(text: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_toml(text.replace("3d_fullres", "3d"), FILE)
    assert caught.value.where == f"{FILE}, key configurations.3d.name"
    assert caught.value.expected == "one of 2d, 2.5d, 3d_fullres, 3d_lowres, 3d_cascade_fullres"


def test_patches_have_the_axes_that_are_planned_last(make_configuration: Callable[..., Configuration]) -> None:
    assert make_configuration(axis_order=(2, 0, 1)).patch_axes == (2, 0, 1)
    assert flat(make_configuration, axis_order=(2, 0, 1)).patch_axes == (0, 1)


def test_components_are_measured_where_loss_or_sampling_go_by_them(
    make_configuration: Callable[..., Configuration],
) -> None:
    plain = make_configuration()
    assert not plain.by_component
    assert replace(plain, training=replace(plain.training, foreground_unit="component")).by_component
    assert replace(plain, loss=replace(plain.loss, kind="dice_size_adaptive_ce", largest_size=9.0)).by_component


def test_a_patch_beyond_all_measure(make_configuration: Callable[..., Configuration]) -> None:
    assert make_configuration(patch=(256, 512, 512)).patch == (256, 512, 512)  # 2 ** 26 voxels
    with pytest.raises(PlanError, match="at most 67108864 voxels together"):
        make_configuration(patch=(258, 512, 512))
