from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospine.errors import PlanError
from autospine.planning.fingerprint import Fingerprint
from autospine.planning.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.planner import Narrowing, configure, make_plan
from autospine.planning.recipe import Recipe

MakeFingerprint = Callable[..., Fingerprint]


def keys(value: Any, prefix: str = "") -> list[str]:
    found = []
    for field in fields(value):
        part = getattr(value, field.name)
        found += keys(part, f"{prefix}{field.name}.") if is_dataclass(part) else [f"{prefix}{field.name}"]
    return found


def test_every_decision_has_its_reason(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    expected = {"default"}
    for configuration in plan.configurations:
        expected |= {f"{configuration.name}.{key}" for key in keys(configuration)}
        expected -= {f"{configuration.name}.{key}" for key in ("name", "training.budget_s")}
    assert set(plan.reasons) == expected
    assert all(reason and "\n" not in reason for reason in plan.reasons.values())


def test_volumes_are_planned_both_ways_and_slices_in_2d(make_fingerprint: MakeFingerprint) -> None:
    volumes = make_plan(make_fingerprint([(20, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3), Recipe())
    assert [item.name for item in volumes.configurations] == ["2d", "3d_fullres"]
    assert volumes.default == "3d_fullres"
    # the pixels are coarser than a 2D file's conventional slice thickness of 1 mm
    slices = make_plan(make_fingerprint([(1, 100, 90)] * 3, [(1.0, 2.0, 2.0)] * 3), Recipe())
    assert [item.name for item in slices.configurations] == ["2d"]
    assert slices.default == "2d"
    assert "single slice" in slices.reasons["default"]
    assert slices.configuration().axis_order == (0, 1, 2)
    assert slices.configuration().median_shape == (100, 90)


def test_a_configuration_that_the_data_do_not_allow(make_fingerprint: MakeFingerprint) -> None:
    flat = make_fingerprint([(1, 100, 90)] * 3, [(1.0, 1.0, 1.0)] * 3)
    with pytest.raises(PlanError, match="3d_fullres"):
        make_plan(flat, Recipe(configurations=("3d_fullres",)))
    assert "do not allow" in make_plan(flat, Recipe(default="3d_fullres")).reasons["default"]


def test_the_loss_follows_the_class_sizes(make_fingerprint: MakeFingerprint) -> None:
    grid = ([(20, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3, ("body", "cord"))
    alike = make_fingerprint(*grid, voxels=(3999, 1000))
    plain = make_plan(alike, Recipe()).configuration("3d_fullres").loss
    assert (plain.kind, plain.class_weights) == ("dice_ce", (1.0, 1.0, 1.0))
    uneven = make_fingerprint(*grid, voxels=(9000, 1000))
    plan = make_plan(uneven, Recipe())
    adaptive = plan.configuration("3d_fullres").loss
    assert (adaptive.kind, adaptive.class_weights) == ("dice_size_adaptive_ce", (1.0, 1.0, 3.0))
    assert "body (9000 voxels) over smallest cord (1000): 9 times" in plan.reasons["3d_fullres.loss.kind"]
    forced = make_plan(alike, Recipe(loss="dice_size_adaptive_ce")).configuration("2d").loss
    assert forced.kind == "dice_size_adaptive_ce"
    assert forced.class_weights == pytest.approx((1.0, 1.0, 3.999**0.5))


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
    assert not make_plan(large, Recipe(), memory_gb=400).configuration("3d_fullres").loss.batch_dice


def test_narrowing_plans_anew(lumbar: Fingerprint) -> None:
    narrow = Narrowing(spacing_mm=(2.0, 2.0), base_features=16, feature_cap=256, max_batch=8, patch_limit=(112, 112))
    planned, reasons = configure(lumbar, Recipe(), "2d", narrowing=narrow)
    assert planned.patch == planned.median_shape == (112, 112)
    assert planned.batch == 8
    assert planned.network.features == (16, 32, 64, 128, 256)
    assert len(planned.network.strides) == 5
    # (10 x 10 x 10 voxels over 10 slices of 1 mm pixels) at 2 mm: 100 / 4
    assert "(25 pixels per slice)" in reasons["2d.loss.kind"]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.tuples(*[st.integers(6, 300)] * 3), st.tuples(*[st.floats(0.3, 6.0)] * 3).map(lambda item: tuple(item))
        ),
        min_size=1,
        max_size=5,
    )
)
def test_plans_are_pure_and_survive_their_file(make_fingerprint: MakeFingerprint, drawn: list) -> None:
    shapes, spacings = zip(*drawn, strict=True)
    text = plan_to_toml(make_plan(make_fingerprint(shapes, spacings), Recipe()))
    assert text == plan_to_toml(make_plan(make_fingerprint(shapes, spacings), Recipe()))
    assert plan_from_toml(text) == make_plan(make_fingerprint(shapes, spacings), Recipe())
