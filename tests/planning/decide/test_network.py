from __future__ import annotations

import pytest

from autospine.planning.decide.network import (
    NOTHING,
    Narrowing,
    decoder_convs,
    encoder_blocks,
    network_family,
    planned_bottleneck,
    planned_entering,
    planned_neighbours,
    planned_network,
    planned_outputs,
    planned_previous,
)
from autospine.planning.decide.topology import topology
from autospine.planning.document.data import DataPlan, IntensityPlan, PresencePlan
from autospine.planning.document.recipe import Recipe

GREY = IntensityPlan(100.0, 20.0, 12.5, 240.25)
DATA = DataPlan("toy", ("T1", "T2"), (GREY, GREY), (("a", 1), ("b", 2), ("c", 3)))


@pytest.mark.parametrize(
    ("neighbours", "previous", "count", "why"),
    [
        (0, None, 2, "one input per image channel"),
        (2, None, 10, "2 image channel(s) of 5 slices"),
        (0, "3d_lowres", 5, "2 image channel(s), and one per label of 3d_lowres"),
    ],
)
def test_what_enters(neighbours: int, previous: str | None, count: int, why: str) -> None:
    entering = planned_entering(DATA, neighbours, previous)
    assert (entering.value, entering.why) == (count, why)


def test_what_may_be_missing_enters_too() -> None:
    data = DataPlan("toy", DATA.channels, DATA.intensities, DATA.labels, presence=PresencePlan((1,), 0.25))
    entering = planned_entering(data, 0, None)
    assert (entering.value, entering.why) == (3, "one input per image channel, and 1 that says what is missing")


def test_what_leaves() -> None:
    outputs = planned_outputs(DATA)
    assert (outputs.value, outputs.why) == (4, "background and 3 labels")


def test_what_enters_beside_a_slice_or_a_patch() -> None:
    recipe = Recipe(neighbours=2)
    beside = planned_neighbours(recipe, "2.5d")
    assert beside.value == 2 and "5 slices enter together" in beside.why
    assert planned_neighbours(recipe, "2d").reasons("neighbours") == {"neighbours": "each slice enters alone"}
    assert planned_neighbours(recipe, "3d_fullres").value == 0
    assert planned_previous("3d_fullres").value is None
    assert planned_previous("3d_cascade_fullres").value == "3d_lowres"


def test_a_recipe_may_say_what_stages_are_made_of() -> None:
    assert (encoder_blocks(Recipe()).value, decoder_convs(Recipe()).value) == ((2,), 2)
    assert encoder_blocks(Recipe()).why == "convolutions of the nnU-Net v2.8 presets"
    residual = Recipe(encoder="residual")
    assert (encoder_blocks(residual).value, decoder_convs(residual).value) == ((1, 3, 4, 6), 1)
    assert decoder_convs(residual).why == "as in the nnU-Net v2.8 residual presets"
    own = Recipe(encoder_blocks=(1, 2), decoder_convs=3)
    assert (encoder_blocks(own).value, encoder_blocks(own).why) == ((1, 2), "the recipe default says so: convolutions")
    assert (decoder_convs(own).value, decoder_convs(own).why) == (3, "the recipe default says so")
    assert planned_bottleneck(Recipe(bottleneck="plain")).why == "the recipe default: no module beyond the U-Net"


def test_a_time_budget_narrows_the_family() -> None:
    whole = network_family(Recipe(), 2, 4, NOTHING)
    assert (whole.blocks, whole.convs_decoder, whole.base_features, whole.feature_cap) == ((2,), 2, 32, 512)
    assert network_family(Recipe(), 3, 4, NOTHING).feature_cap == 320
    narrow = network_family(Recipe(), 2, 4, Narrowing(base_features=8, feature_cap=128, blocks=1, decoder_convs=1))
    assert (narrow.blocks, narrow.convs_decoder, narrow.base_features, narrow.feature_cap) == ((1,), 1, 8, 128)


def test_the_network_of_a_patch() -> None:
    recipe, net = Recipe(), topology((1.0, 1.0), (32, 32))
    network = planned_network(recipe, "2d", DATA, network_family(recipe, 2, 4, NOTHING), net)
    # 32, 16, 8, 4: halved three times
    assert network.value.features == (32, 64, 128, 256) and network.value.blocks == (2, 2, 2, 2)
    assert network.keyed["features"] == "32, doubled at each stage, none wider than 256"
    assert "the deepest stage sees 4 x 4 voxels" in network.keyed["strides"]
    assert network.keyed["dimension"] == "the configuration 2d works on slices"
    assert set(network.keyed) == set(vars(network.value))
