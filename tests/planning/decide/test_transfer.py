"""A plan of sagittal lumbar volumes moved to other data: what is kept, what is read anew, what is refused."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from autospine.errors import PlanError
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.transfer import transfer_plan
from autospine.planning.document.decisions import decisions
from autospine.planning.document.expected import Estimated
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe, load_recipe
from autospine.planning.measured.fingerprint import Fingerprint

KEPT = (
    "axis_order",
    "spacing_mm",
    "patch",
    "batch",
    "normalisation",
    "use_mask",
    "resampling",
    "overlap",
    "neighbours",
)
KEPT_OF_NETWORK = ("dimension", "features", "kernels", "strides", "blocks", "encoder", "convs_decoder", "bottleneck")
RENEWED = ("median_shape", "network.in_channels", "network.out_channels", "loss.class_weights", "training.mirror_axes")
# Sagittal as well (X is the coarsest), three lesions, of which two are a pair; sizes 4000, 1000 and 250.
SHAPES = [(300, 200, 14), (300, 200, 16), (320, 200, 14)]


@pytest.fixture
def source(lumbar: Fingerprint) -> Plan:
    return make_plan(lumbar, load_recipe("lumbar"))


@pytest.fixture
def lesions(make_fingerprint) -> Fingerprint:  # type: ignore[no-untyped-def]
    made = make_fingerprint(
        SHAPES,
        [(0.8, 0.8, 5.0)] * 3,
        ("left_lesion", "right_lesion", "cord"),
        channels=("T1",),
        voxels=(4000, 1000, 250),
    )
    return replace(made, dataset="lesions")


def test_the_network_and_the_schedule_are_kept(source: Plan, lesions: Fingerprint) -> None:
    moved = transfer_plan(source, lesions, Recipe())
    assert [item.name for item in moved.configurations] == [item.name for item in source.configurations]
    assert (moved.default, moved.recipe) == (source.default, "lumbar")
    for before, after in zip(source.configurations, moved.configurations, strict=True):
        for key in KEPT:
            assert getattr(after, key) == getattr(before, key), key
        for key in KEPT_OF_NETWORK:
            assert getattr(after.network, key) == getattr(before.network, key), key
        assert after.loss.kind == before.loss.kind == "dice_size_adaptive_ce"
        schedule = {item.name for item in fields(before.training)} - {
            "mirror_axes",
            "rotation_deg",
            "shift",
            "narrow_view",
            "random_contrast",
        }
        assert {key: getattr(after.training, key) for key in schedule} == {
            key: getattr(before.training, key) for key in schedule
        }


def test_what_the_data_say_is_read_anew(source: Plan, lesions: Fingerprint) -> None:
    moved = transfer_plan(source, lesions, Recipe())
    assert (moved.data.dataset, moved.fingerprint_hash) == ("lesions", lesions.hash())
    assert (moved.data.channels, moved.data.labels) == (("T1",), lesions.labels)
    assert moved.data.intensities[0].percentile_99_5 == 240.25
    full, flat = moved.configuration("3d_fullres"), moved.configuration("2d")
    assert full.network.out_channels == flat.network.out_channels == 4
    # planned axes X, Z, Y at 4 x 1 x 1 mm: 14 * 5 / 4, 300 * 0.8, 200 * 0.8
    assert full.median_shape == (18, 240, 160)
    assert flat.median_shape == (240, 160)
    # (4000 / size) ^ 0.5 in volumes; in slices sizes are divided alike
    assert full.loss.class_weights == pytest.approx((1.0, 1.0, 2.0, 4.0))
    assert flat.loss.class_weights == pytest.approx((1.0, 1.0, 2.0, 4.0))
    # sides lie along X, the first planned axis, and swap there; levels no longer forbid Z
    assert full.training.mirror_axes == (0, 1, 2)
    assert moved.card("3d_fullres").sides_axis == 0 and moved.card("2d").sides_axis is None
    assert moved.data.sides and "sides" in moved.reasons
    assert flat.training.mirror_axes == (0, 1)
    assert source.configuration("2d").training.mirror_axes == (1,)


def test_the_size_from_which_a_lesion_weighs_1_is_read_anew(lumbar: Fingerprint, lesions: Fingerprint) -> None:
    moved = transfer_plan(make_plan(lumbar, load_recipe("metastases")), lesions, Recipe())
    full, flat = moved.configuration("3d_fullres"), moved.configuration("2d")
    # 4000 voxels of 0.8 x 0.8 x 5 mm at 4 x 1 x 1 mm; in slices over ten of them
    assert full.loss.largest_size == pytest.approx(4000 * 3.2 / 4)
    assert flat.loss.largest_size == pytest.approx(400 * 0.64)
    assert full.loss.class_weights == (1.0,) * 4
    assert full.training.foreground_unit == "component"
    assert "of these labels" in moved.reasons["3d_fullres.loss.largest_size"]
    assert "component" in moved.reasons["3d_fullres.loss.class_weights"]
    assert plan_from_toml(plan_to_toml(moved)) == moved


def test_each_moved_value_says_where_it_comes_from(source: Plan, lesions: Fingerprint) -> None:
    moved = transfer_plan(source, lesions, Recipe())
    assert moved.reasons["2d.patch"].startswith("taken from the plan of lumbar-water; there: ")
    assert moved.reasons["2d.batch"].startswith("taken from the plan of lumbar-water")
    assert moved.reasons["2d.axis_order"] == (
        "taken from the plan of lumbar-water; the slices of these data run from right to left as well"
    )
    for key in RENEWED:
        assert not moved.reasons[f"2d.{key}"].startswith("taken"), key
    again = transfer_plan(moved, replace(lesions, dataset="third"), Recipe())
    assert again.reasons["2d.patch"] == moved.reasons["2d.patch"]


def test_what_is_not_there_has_no_reason(source: Plan, lesions: Fingerprint) -> None:
    moved = transfer_plan(source, lesions, Recipe())
    values = {
        decision.key: decision.value
        for decision in decisions(Estimated(moved))
        if not decision.key.startswith("left_out.")
    }
    assert values["2d.training.budget_s"] is None and values["2d.previous"] is None
    assert not [key for key, value in values.items() if value is None and key in moved.reasons]


def test_a_moved_plan_is_a_plan(source: Plan, lesions: Fingerprint) -> None:
    moved = transfer_plan(source, lesions, Recipe())
    assert plan_from_toml(plan_to_toml(moved)) == moved
    assert transfer_plan(source, lesions, Recipe()) == moved


def test_its_own_data_give_the_plan_back(source: Plan, lumbar: Fingerprint) -> None:
    moved = transfer_plan(source, lumbar, load_recipe("lumbar"))
    assert replace(moved, reasons={}) == replace(source, reasons={})


def test_another_number_of_channels_is_refused(source: Plan, lesions: Fingerprint) -> None:
    two = replace(lesions, channels=("T1", "T2"), intensities=lesions.intensities * 2)
    with pytest.raises(PlanError) as caught:
        transfer_plan(source, two, Recipe())
    assert caught.value.where == "lesions"
    assert caught.value.found == "2 channel(s) (T1, T2); the plan of lumbar-water has 1 (water)"


def test_data_that_lie_another_way_are_refused(source: Plan, make_fingerprint) -> None:  # type: ignore[no-untyped-def]
    axial = make_fingerprint([(20, 300, 300)] * 4, [(5.0, 0.6, 0.6)] * 4)
    with pytest.raises(PlanError) as caught:
        transfer_plan(source, axial, Recipe())
    assert "the slices of these data run from inferior to superior, that of the plan from right to left" in (
        caught.value.found
    )
    assert "without --from" in caught.value.remedy


@pytest.mark.parametrize("stated", [None, 0])
def test_a_slab_is_not_cut_into_strips_by_a_plan_of_other_slices(  # type: ignore[no-untyped-def]
    source: Plan, make_fingerprint, stated: int | None
) -> None:
    """Nearly cubic voxels, 21 slices: whether their axis is told by the header or by its few voxels."""
    slab = make_fingerprint([(21, 320, 256)] * 4, [(0.9, 0.94, 0.94)] * 4)
    slab = replace(slab, cases=tuple(replace(case, slice_axis=stated) for case in slab.cases))
    with pytest.raises(PlanError, match="its patches would lie across it"):
        transfer_plan(source, slab, Recipe())


def test_axes_that_cannot_be_told_apart_keep_the_order_of_the_plan(source: Plan, make_fingerprint) -> None:  # type: ignore[no-untyped-def]
    # nearly isotropic: Z happens to be the coarsest by a tenth
    even = make_fingerprint([(180, 200, 90)] * 4, [(1.1, 1.0, 1.0)] * 4)
    moved = transfer_plan(source, even, Recipe())
    assert moved.configuration("3d_fullres").axis_order == source.configuration("3d_fullres").axis_order == (2, 0, 1)
    # X: 90 * 1 / 4, Z: 180 * 1.1 / 1, Y: 200
    assert moved.configuration("3d_fullres").median_shape == (22, 198, 200)
    assert "no axis of these data is 2 times coarser" in moved.reasons["2d.axis_order"]


def test_an_even_plan_moves_in_3d_only(make_fingerprint) -> None:  # type: ignore[no-untyped-def]
    even = make_fingerprint([(90, 100, 80)] * 4, [(1.1, 1.0, 1.0)] * 4)
    source = make_plan(even, Recipe(configurations=("2d", "3d_fullres")))
    sagittal = make_fingerprint([(200, 200, 20)] * 4, [(1.0, 1.0, 5.0)] * 4)
    moved = transfer_plan(source, sagittal, Recipe())
    assert [item.name for item in moved.configurations] == ["3d_fullres"]
    assert moved.configuration().axis_order == (0, 1, 2)
    assert "would lie across it" in moved.reasons["left_out.2d"]


def test_single_slices_leave_volumes_out(source: Plan, make_fingerprint) -> None:  # type: ignore[no-untyped-def]
    slices = make_fingerprint([(200, 200, 1)] * 4, [(1.0, 1.0, 5.0)] * 4)
    volumes_first = replace(source, default="3d_fullres")
    moved = transfer_plan(volumes_first, slices, Recipe())
    assert [item.name for item in moved.configurations] == ["2d"]
    assert moved.reasons["left_out.2.5d"] == "it sees 3 slices together, the median case has 1"
    assert moved.default == "2d"
    assert moved.reasons["default"] == "the plan's 3d_fullres is left out for these data"
    assert moved.reasons["left_out.3d_fullres"] == "the median case has 1 x 200 x 200 voxels at the plan's spacing"


def test_a_cascade_goes_where_its_first_stage_goes(make_fingerprint) -> None:  # type: ignore[no-untyped-def]
    large = make_fingerprint([(400, 500, 500)] * 4, [(1.0, 1.0, 1.0)] * 4, ("a", "b"))
    source = make_plan(large, Recipe(configurations=("3d_fullres", "3d_lowres", "3d_cascade_fullres")))
    assert [item.name for item in source.configurations] == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]
    other = make_fingerprint([(300, 300, 300)] * 4, [(1.0, 1.0, 1.0)] * 4, ("a", "b", "c"))
    moved = transfer_plan(source, other, Recipe())
    cascade = moved.configuration("3d_cascade_fullres")
    assert (cascade.network.in_channels, cascade.network.out_channels) == (1 + 3, 4)


def test_levels_and_shifts_follow_the_new_data(source: Plan, lumbar: Fingerprint, lesions: Fingerprint) -> None:
    assert source.data.levels is not None
    moved = transfer_plan(source, lesions, Recipe())
    assert moved.data.levels is None
    back = transfer_plan(moved, lumbar, Recipe())
    assert back.data.levels == source.data.levels
    assert "evenly and apart" in back.reasons["levels.classes"]
    training = replace(source.configuration("2d").training, shift=0.3)
    edited = replace(source.configuration("2d"), training=training)
    shifted = replace(
        source, configurations=tuple(edited if one.name == "2d" else one for one in source.configurations)
    )
    assert transfer_plan(shifted, lesions, Recipe()).configuration("2d").training.shift == 0.0
    assert plan_from_toml(plan_to_toml(back)) == back
