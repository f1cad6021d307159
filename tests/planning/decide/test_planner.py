from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from math import prod
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.basis import Basis
from autospine.planning.decide.network import BOTTLENECK, NOTHING, Narrowing
from autospine.planning.decide.patch_and_batch import planned_for
from autospine.planning.decide.planner import configure, make_plan
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.recipe import Recipe
from autospine.planning.estimate.memory import training_memory_gb
from autospine.planning.measured.fingerprint import Fingerprint

MakeFingerprint = Callable[..., Fingerprint]


def keys(value: Any, prefix: str = "") -> list[str]:
    found = []
    for field in fields(value):
        part = getattr(value, field.name)
        found += keys(part, f"{prefix}{field.name}.") if is_dataclass(part) else [f"{prefix}{field.name}"]
    return found


def configured(fingerprint: Fingerprint, name: str, less: Narrowing = NOTHING) -> tuple[Configuration, dict[str, str]]:
    planned = configure(Basis.of(fingerprint, Recipe()), name, less)
    return planned.value, planned.reasons(name)


def test_every_decision_has_its_reason(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe(memory_gb=4.0))
    expected = {"default", "left_out.3d_lowres", "left_out.3d_cascade_fullres"}
    # times are for a budget to decide, and the first stage is a decision of the cascade alone
    open_keys = (
        "name",
        "training.budget_s",
        "previous",
        "loss.usual_sizes",
        "loss.largest_size",
        "loss.folds",
    )
    for configuration in plan.configurations:
        expected |= {f"{configuration.name}.{key}" for key in keys(configuration)}
        expected -= {f"{configuration.name}.{key}" for key in open_keys}
    levels = ("classes", "axis", "step", "ends_seen", "sizes")
    # there are no sides and regions, and every channel is there
    assert set(plan.reasons) == expected | {f"levels.{key}" for key in levels}
    assert all(reason and "\n" not in reason for reason in plan.reasons.values())


def test_rules_say_whose_they_are(lumbar: Fingerprint) -> None:
    reasons = make_plan(lumbar, Recipe()).reasons
    for key in (
        "spacing_mm",
        "patch",
        "batch",
        "normalisation",
        "use_mask",
        "network.strides",
        "resampling.order_image",
    ):
        assert "nnU-Net v2.8" in reasons[f"3d_fullres.{key}"]
    assert "below 50; at 4.8 and 15 times" in reasons["3d_fullres.loss.kind"]


def test_volumes_are_planned_both_ways_and_slices_in_2d(make_fingerprint: MakeFingerprint) -> None:
    volumes = make_plan(make_fingerprint([(20, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3), Recipe())
    assert [item.name for item in volumes.configurations] == ["2d", "2.5d", "3d_fullres"]
    assert volumes.default == "3d_fullres"
    # the pixels are coarser than a 2D file's conventional slice thickness of 1 mm
    slices = make_plan(make_fingerprint([(1, 100, 90)] * 3, [(1.0, 2.0, 2.0)] * 3), Recipe())
    assert [item.name for item in slices.configurations] == ["2d"]
    assert slices.default == "2d"
    assert "single slice" in slices.reasons["default"]
    assert slices.configuration().axis_order == (0, 1, 2)
    assert slices.configuration().median_shape == (100, 90)
    left_out = {key.removeprefix("left_out."): reason for key, reason in slices.reasons.items() if "left_out" in key}
    assert set(left_out) == {"2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"}
    assert left_out["2.5d"] == "it sees 3 slices together, the median case has 1"
    assert "single slice" in left_out["3d_cascade_fullres"]


def test_slices_with_their_neighbours(make_fingerprint: MakeFingerprint) -> None:
    five = make_fingerprint([(5, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3, channels=("T1", "T2"))
    plan = make_plan(five, Recipe(neighbours=2))
    flat, beside = plan.configuration("2d"), plan.configuration("2.5d")
    assert (flat.neighbours, flat.network.in_channels) == (0, 2)
    assert (beside.neighbours, beside.network.in_channels, plan.card("2.5d").entering.images) == (2, 10, 2)
    assert (beside.patch, beside.batch, beside.spacing_mm) == (flat.patch, flat.batch, flat.spacing_mm)
    assert training_memory_gb(beside, Machine()) > training_memory_gb(flat, Machine())
    assert "5 slices" in plan.reasons["2.5d.neighbours"]
    more = make_plan(five, Recipe(neighbours=3))
    assert more.reasons["left_out.2.5d"] == "it sees 7 slices together, the median case has 5"


def test_a_configuration_that_the_data_do_not_allow(make_fingerprint: MakeFingerprint) -> None:
    flat = make_fingerprint([(1, 100, 90)] * 3, [(1.0, 1.0, 1.0)] * 3)
    with pytest.raises(PlanError, match="3d_fullres"):
        make_plan(flat, Recipe(configurations=("3d_fullres",)))
    assert "do not allow" in make_plan(flat, Recipe(default="3d_fullres")).reasons["default"]


def test_the_loss_follows_the_class_sizes(make_fingerprint: MakeFingerprint) -> None:
    grid = ([(20, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3, ("body", "cord"))
    alike = make_fingerprint(*grid, voxels=(9999, 1000))
    plain = make_plan(alike, Recipe()).configuration("3d_fullres").loss
    assert (plain.kind, plain.class_weights) == ("dice_ce", (1.0, 1.0, 1.0))
    uneven = make_fingerprint(*grid, voxels=(64000, 1000))
    plan = make_plan(uneven, Recipe())
    adaptive = plan.configuration("3d_fullres").loss
    assert (adaptive.kind, adaptive.class_weights) == ("dice_size_adaptive_ce", (1.0, 1.0, 5.0))
    assert "body (64000 voxels) over smallest cord (1000): 64 times" in plan.reasons["3d_fullres.loss.kind"]
    forced = make_plan(alike, Recipe(loss="dice_size_adaptive_ce")).configuration("2d").loss
    assert forced.kind == "dice_size_adaptive_ce"
    assert forced.class_weights == pytest.approx((1.0, 1.0, 9.999**0.5))


def test_ct_and_masks(make_fingerprint: MakeFingerprint) -> None:
    grid = {"shapes": [(20, 100, 90)] * 3, "spacings": [(4.0, 1.0, 1.0)] * 3}
    cropped = make_plan(make_fingerprint(**grid, full_shape=(20, 120, 120)), Recipe()).configuration()
    assert cropped.use_mask  # 9000 of 14 400: 62 %
    ct = make_plan(make_fingerprint(**grid, channels=("CT", "T2"), full_shape=(20, 120, 120)), Recipe()).configuration()
    assert ct.normalisation == ("ct", "zscore")
    assert ct.network.in_channels == 2
    only = make_plan(make_fingerprint(**grid, channels=("ct",), full_shape=(20, 120, 120)), Recipe()).configuration()
    assert not only.use_mask


def test_a_patch_that_sees_little_takes_dice_over_the_batch(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 4, [(1.0, 1.0, 1.0)] * 4)
    assert make_plan(large, Recipe()).configuration("3d_fullres").loss.batch_dice
    assert not make_plan(large, Recipe(memory_gb=400)).configuration("3d_fullres").loss.batch_dice


def test_dice_of_a_narrowed_patch_is_that_of_what_it_sees(make_fingerprint: MakeFingerprint) -> None:
    """A time budget narrows the view: the patch is no longer the one by which a low resolution was planned or not."""
    small = make_fingerprint([(128, 128, 128)] * 4, [(1.0, 1.0, 1.0)] * 4)
    whole, reasons = configured(small, "3d_fullres")
    assert not whole.loss.batch_dice
    assert "a patch sees 100.0% of the median case, at least 25%" in reasons["3d_fullres.loss.batch_dice"]
    # (64 / 128) ^ 3 = 1 / 8; 96 x 96 x 64 voxels = 28.1 %
    for limit, batch_dice, seen in (((64, 64, 64), True, "12.5%"), ((96, 96, 64), False, "28.1%")):
        narrow, reasons = configured(small, "3d_fullres", Narrowing(patch_limit=limit))
        assert narrow.patch == limit
        assert narrow.loss.batch_dice == batch_dice
        side = "under" if batch_dice else "at least"
        assert f"sees {seen} of the median case, {side} 25%" in reasons["3d_fullres.loss.batch_dice"]


def test_dice_of_a_narrowed_patch_on_a_coarser_grid(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 4, [(1.0, 1.0, 1.0)] * 4)
    less = Narrowing(spacing_mm=(4.0, 4.0, 4.0), patch_limit=(96, 96, 96))
    for name in ("3d_fullres", "3d_cascade_fullres", "3d_lowres"):
        coarse, _ = configured(large, name, less)  # 96^3 of 100^3 voxels
        assert (coarse.patch, coarse.loss.batch_dice) == ((96, 96, 96), False), name
    low, reasons = configured(large, "3d_lowres", Narrowing(patch_limit=(64, 64, 64)))
    assert low.loss.batch_dice  # 64^3 of 203^3
    assert "a patch sees 3.1% of the median case, under 25%" in reasons["3d_lowres.loss.batch_dice"]


def test_sgd_where_no_time_budget_is_given(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    assert plan.configuration().training.optimiser == "sgd"
    assert "SGD with Nesterov momentum" in plan.reasons["3d_fullres.training.optimiser"]
    named = make_plan(lumbar, Recipe(optimiser="adamw"))
    assert named.configuration().training.optimiser == "adamw"
    assert named.reasons["3d_fullres.training.optimiser"] == "the recipe default"


@pytest.mark.parametrize(
    ("voxels", "said"),
    [((1000,), "one label: nothing to balance"), ((1000, 0), "one label"), ((0, 0), "no label occurs in any case")],
)
def test_there_is_nothing_to_balance_in_one_label(
    make_fingerprint: MakeFingerprint, voxels: tuple[int, ...], said: str
) -> None:
    labels = [f"label {index}" for index in range(len(voxels))]
    made = make_fingerprint([(20, 120, 120)] * 4, [(4.0, 1.0, 1.0)] * 4, labels, voxels=voxels)
    for recipe in (Recipe(), Recipe(loss="dice_size_adaptive_ce")):
        reason = make_plan(made, recipe).reasons["2d.loss.kind"]
        assert said in reason and reason.endswith("nothing to balance")
        assert "times" not in reason and "weigh" not in reason


def test_a_patch_that_sees_little_gets_a_low_resolution_and_a_cascade(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 4, [(1.0, 1.0, 1.0)] * 4, ("a", "b", "c"), channels=("T1", "T2"))
    plan = make_plan(large, Recipe())
    names = ["2d", "2.5d", "3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    assert [item.name for item in plan.configurations] == names
    assert not [key for key in plan.reasons if key.startswith("left_out")]
    full, low, cascade = (plan.configuration(name) for name in names[2:])
    assert low.spacing_mm == pytest.approx((1.03**23,) * 3)
    assert low.median_shape == (203, 203, 203)
    assert (low.patch, low.batch, low.loss.batch_dice) == ((128, 128, 128), 2, False)
    assert "sees 3% of the median case" in plan.reasons["3d_lowres.spacing_mm"]
    assert (full.network.in_channels, full.previous) == (2, None)
    assert (cascade.network.in_channels, cascade.previous) == (5, "3d_lowres")
    assert plan.card(cascade.name).entering.images == 2
    assert cascade.loss.batch_dice
    assert replace(cascade.network, in_channels=2) == full.network
    assert (cascade.patch, cascade.batch, cascade.spacing_mm) == (full.patch, full.batch, full.spacing_mm)
    assert plan.default == "3d_fullres"


def test_why_there_is_no_low_resolution(make_fingerprint: MakeFingerprint) -> None:
    enough = make_plan(make_fingerprint([(150,) * 3] * 4, [(1.0,) * 3] * 4), Recipe())
    assert "sees 62% of the median case, at least 25%" in enough.reasons["left_out.3d_lowres"]  # 128^3 / 150^3
    assert "there is no 3d_lowres" in enough.reasons["left_out.3d_cascade_fullres"]
    little = make_plan(make_fingerprint([(240,) * 3] * 4, [(1.0,) * 3] * 4), Recipe())
    assert "times fewer voxels, under 2" in little.reasons["left_out.3d_lowres"]
    with pytest.raises(PlanError, match="3d_lowres"):
        configured(make_fingerprint([(150,) * 3] * 4, [(1.0,) * 3] * 4), "3d_lowres")


def test_what_the_recipe_does_not_plan_is_said(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 4, [(1.0, 1.0, 1.0)] * 4)
    plan = make_plan(large, Recipe(configurations=("3d_lowres", "3d_cascade_fullres", "2.5d")))
    assert [item.name for item in plan.configurations] == ["3d_lowres", "3d_cascade_fullres", "2.5d"]
    assert plan.default == "2.5d"  # neither a low resolution nor what stands on it goes first
    assert plan.reasons["left_out.2d"] == "the recipe default does not plan it"
    alone = make_plan(large, Recipe(configurations=("3d_cascade_fullres", "3d_fullres")))
    assert [item.name for item in alone.configurations] == ["3d_fullres"]
    assert "does not plan it" in alone.reasons["left_out.3d_cascade_fullres"]
    low = make_plan(large, Recipe(configurations=("3d_lowres",)))
    assert low.default == "3d_lowres"
    assert low.reasons["default"] == "the recipe default plans nothing else that the data allow"


def test_memory_is_the_recipes_or_eight(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 4, [(1.0, 1.0, 1.0)] * 4)
    only = ("3d_fullres",)

    def patch(recipe: Recipe) -> tuple[int, ...]:
        return make_plan(large, recipe).configuration("3d_fullres").patch

    assert patch(Recipe(configurations=only)) == (128, 128, 128)
    assert patch(Recipe(configurations=only, memory_gb=2.0)) != (128, 128, 128)
    assert patch(Recipe(configurations=only, memory_gb=8.0)) == (128, 128, 128)
    plan = make_plan(large, Recipe(configurations=only, memory_gb=11.0))
    assert 4.0 < training_memory_gb(plan.configuration("3d_fullres"), Machine()) < 8.0
    said = planned_for(Recipe(memory_gb=11.0), Machine())
    assert "planned for 8 GB, the largest planned size within 11 GB" in said


def test_single_precision_needs_more_memory(make_fingerprint: MakeFingerprint) -> None:
    large = make_fingerprint([(400, 400, 400)] * 4, [(1.0, 1.0, 1.0)] * 4)
    half = make_plan(large, Recipe()).configuration("3d_fullres")
    single = make_plan(large, Recipe(), machine=Machine("float32")).configuration("3d_fullres")
    assert training_memory_gb(half, Machine()) <= 8.0
    assert training_memory_gb(single, Machine("float32")) <= 8.0
    assert prod(single.patch) < prod(half.patch)


def test_the_plan_fits_all_threads_of_a_cpu(make_fingerprint: MakeFingerprint) -> None:
    """Each of them takes room of its own for the weight gradients of a 3D convolution."""
    lying = make_fingerprint([(15, 512, 512)] * 30, [(4.4, 0.68, 0.68)] * 30)
    machine = Machine("float32", threads=32)
    single = make_plan(lying, Recipe(), machine=Machine("float32")).configuration("3d_fullres")
    assert training_memory_gb(single, machine) > 8.0
    plan = make_plan(lying, Recipe(), machine=machine)
    assert training_memory_gb(plan.configuration("3d_fullres"), machine) <= 8.0
    assert "in float32 precision on 32 threads; planned" in planned_for(Recipe(), machine)


def test_the_residual_encoder(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe(encoder="residual"))
    network = plan.configuration("3d_fullres").network
    assert (network.encoder, network.blocks, network.convs_decoder) == ("residual", (1, 3, 4, 6, 6, 6), 1)
    # 435 229 760 elements a patch: 680e6 / 435e6 x 2 = 3.1, and all of the data set may be shown
    assert (plan.configuration("3d_fullres").patch, plan.configuration("3d_fullres").batch) == ((20, 224, 224), 3)
    assert "100% of the data set" in plan.reasons["3d_fullres.batch"]
    own = make_plan(lumbar, Recipe(encoder="residual", encoder_blocks=(2,), decoder_convs=2, dataset_fraction=0.05))
    assert own.configuration("2d").network.blocks == (2,) * 6
    assert own.configuration("2d").network.convs_decoder == 2
    assert own.configuration("2d").batch == 37


def test_the_bottleneck_is_the_recipes_or_what_was_measured(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    assert plan.configuration("2d").network.bottleneck == BOTTLENECK.value
    assert plan.reasons["2d.network.bottleneck"] == BOTTLENECK.why
    assert make_plan(lumbar, Recipe(bottleneck="msff")).configuration("2d").network.bottleneck == "msff"


def test_narrowing_plans_anew(lumbar: Fingerprint) -> None:
    narrow = Narrowing(spacing_mm=(2.0, 2.0), base_features=16, feature_cap=256, max_batch=8, patch_limit=(112, 112))
    narrow = replace(narrow, blocks=1, decoder_convs=1)
    planned, reasons = configured(lumbar, "2d", narrow)
    assert planned.network.blocks == (1,) * 5
    assert planned.network.convs_decoder == 1
    assert planned.patch == planned.median_shape == (112, 112)
    assert planned.batch == 8
    assert planned.network.features == (16, 32, 64, 128, 256)
    assert len(planned.network.strides) == 5
    # (10 x 10 x 10 voxels over 10 slices of 1 mm pixels) at 2 mm: 100 / 4
    assert "(25 pixels per slice)" in reasons["2d.loss.kind"]
