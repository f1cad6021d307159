"""What prepared cases depend on decides their key, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.parts import ResamplingPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.keys import store_name, stored_key

MakeConfiguration = Callable[..., Configuration]
MakePlan = Callable[..., Plan]
NAMES = ("a", "b", "store")


def test_the_key_follows_what_preparation_reads(make_configuration: MakeConfiguration, make_plan: MakePlan) -> None:
    base = make_configuration()
    key = stored_key(make_plan(base), base)
    assert key == stored_key(make_plan(base), make_configuration())
    for changed in (
        make_configuration(spacing_mm=(2.0, 1.0, 1.0)),
        make_configuration(spacing_mm=(1.0, 1.0)),
        make_configuration(normalisation=("ct",)),
        make_configuration(use_mask=True),
        make_configuration(axis_order=(2, 0, 1)),
        make_configuration(resampling=ResamplingPlan(order_image=1)),
    ):
        assert stored_key(make_plan(changed), changed) != key
    for plan in (
        make_plan(base, labels=(("T12", 1), ("L2", 2), ("L3", 3))),
        make_plan(base, labels=(("L1", 1), ("L2", 2), ("L3", 4))),
        make_plan(base, intensities=(IntensityPlan(100.0, 21.0, 10.0, 200.0),)),
        make_plan(base, fingerprint_hash="1" * 64),
    ):
        assert stored_key(plan, base) != key


def test_the_key_leaves_out_what_only_training_reads(
    make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    base = make_configuration()
    key = stored_key(make_plan(base), base)
    for changed in (
        replace(base, training=replace(base.training, learning_rate=1.0, epochs=3)),
        replace(base, batch=7, patch=(16, 16, 16)),
        replace(base, network=replace(base.network, features=(16, 32))),
        replace(base, loss=replace(base.loss, batch_dice=True)),
    ):
        assert stored_key(make_plan(changed), changed) == key
    assert stored_key(make_plan(base, reasons={"3d_fullres.patch": "another"}), base) == key


def test_configurations_that_prepare_alike_share_the_first_ones_folder(
    make_configuration: MakeConfiguration, make_plan: MakePlan
) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    neighbourly = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3))
    full = make_configuration()
    low = make_configuration(name="3d_lowres", spacing_mm=(2.0, 2.0, 2.0))
    cascade = replace(
        full, name="3d_cascade_fullres", previous="3d_lowres", network=replace(full.network, in_channels=4)
    )
    plan = make_plan(full, configurations=(flat, neighbourly, full, low, cascade))
    names = [store_name(plan, configuration) for configuration in plan.configurations]
    assert names == ["2d", "2d", "3d_fullres", "3d_lowres", "3d_fullres"]
    # what only training reads changes nothing, what preparation reads does
    assert store_name(plan, replace(neighbourly, batch=7)) == "2d"
    assert store_name(plan, replace(neighbourly, use_mask=True)) == "2.5d"
