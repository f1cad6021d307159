"""Arms that differ in one respect, and are equal in all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import pytest

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.machine.arithmetic import Machine
from autospine.planning.decide.fold_loss import fold_loss
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan, PresencePlan
from autospine.planning.document.expected import Expected
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.study.arms import (
    ABLATION,
    ablation_arms,
    arm_expected,
    arm_plan,
    dimension_arms,
    equal_batches,
    made_equal,
    patch_arms,
    planned_steps,
    sequence_arms,
    with_steps,
)
from tests.cards import card_of
from tests.planning.conftest import build

Make = Callable[..., Configuration]
FOLDS = (Fold(("case_000",), ("case_001",)), Fold(("case_001",), ("case_000",)))


def test_arms_of_an_ablation_differ_in_bottleneck_and_loss_alone(make_configuration: Make) -> None:
    base = make_configuration()
    arms = {arm.name: arm.configuration for arm in ablation_arms(card_of(base))}
    assert tuple(arms) == ABLATION
    assert {name: one.network.bottleneck for name, one in arms.items()} == {
        "base": "plain",
        "control": "control",
        "msff": "msff",
        "sace": "plain",
        "msff+sace": "msff",
    }
    adaptive = {name for name, one in arms.items() if one.loss.kind == "dice_size_adaptive_ce"}
    assert adaptive == {"sace", "msff+sace"}
    for one in arms.values():
        assert set(one.loss.class_weights) == {1.0}  # each fold works them out from its own cases
        same = replace(one, network=replace(one.network, bottleneck="plain"), loss=base.loss)
        assert same == base


def test_arms_of_an_adaptive_plan_go_back_to_plain_and_keep_its_exponent(make_configuration: Make) -> None:
    loss = replace(
        make_configuration().loss,
        kind="dice_size_adaptive_ce",
        class_weights=(1.0, 2.0, 3.0, 4.0),
        alpha=0.7,
        usual_sizes=(9.0, 4.0, 1.0),
    )
    plain, adaptive = (
        arm.configuration.loss for arm in ablation_arms(card_of(make_configuration(loss=loss)), ("base", "sace"))
    )
    assert (plain.kind, plain.usual_sizes, set(plain.class_weights)) == ("dice_ce", None, {1.0})
    assert (adaptive.alpha, adaptive.usual_sizes) == (0.7, (9.0, 4.0, 1.0))


def test_another_seed_is_an_arm(make_configuration: Make) -> None:
    base, other = ablation_arms(card_of(make_configuration()), ("base", "reseeded"))
    assert other.configuration.training.seed == base.configuration.training.seed + 1


@pytest.mark.parametrize("name", ["focal", "base+sace", "msff+control", "msff+msff", ""])
def test_arms_that_there_are_not(make_configuration: Make, name: str) -> None:
    with pytest.raises(PlanError, match="--arms"):
        ablation_arms(card_of(make_configuration()), ("base", name))


def test_schedule_over_steps(make_configuration: Make) -> None:
    training = replace(make_configuration().training, epochs=1000, steps_per_epoch=250, budget_s=60.0)
    for steps, expected in ((600, (2, 300)), (100, (1, 100)), (1000, (4, 250)), (1001, (4, 251))):
        made = with_steps(training, steps)
        assert (made.epochs, made.steps_per_epoch, made.budget_s) == (*expected, None)


def test_steps_are_those_of_the_plan(make_configuration: Make) -> None:
    base = make_configuration()
    assert planned_steps(base.training, None) == 100
    arm = made_equal(ablation_arms(card_of(base)), 30)[0]
    assert planned_steps(arm_plan_of(base, arm.configuration).configuration().training, None) == 30
    by_clock = replace(base.training, budget_s=60.0)
    assert planned_steps(by_clock, Expected(1.0, "CPU", 0.1, 540)) == 540
    assert planned_steps(by_clock, Expected(1.0)) == 100


def arm_plan_of(base: Configuration, other: Configuration) -> Plan:
    plan = Plan(card_of(base).data, "default", "0" * 64, (base,), base.name)
    arm = replace(ablation_arms(card_of(base), ("base",))[0], configuration=other)
    made = arm_plan(plan, arm, build([(16, 32, 24)], [(1.0, 1.0, 1.0)], ("L1", "L2", "L3")), FOLDS)
    assert plan_from_toml(plan_to_toml(made)) == made
    return made


def test_arms_compute_as_the_plan_was_timed(make_configuration: Make) -> None:
    """Arms and folds may be trained one by one: each would measure the precision anew."""
    base = make_configuration()
    timed = Expected(1.0, "CPU, 2 cores, bfloat16", 0.1)
    for arm in ablation_arms(card_of(base), ("base", "msff")):
        expected = arm_expected(arm_plan_of(base, arm.configuration), timed, Machine())[base.name]
        assert (expected.device, expected.seconds_per_step) == ("CPU, 2 cores, bfloat16", None)


def test_a_step_of_each_arm_sees_as_many_voxels(make_configuration: Make, make_plan: Callable[..., Plan]) -> None:
    volumes = make_configuration(patch=(8, 16, 16), batch=2)
    slices = make_configuration(spacing_mm=(1.0, 1.0), batch=3)
    plan = make_plan(configurations=(slices, volumes), default="2d")
    arms = made_equal(dimension_arms(plan, ("2d", "3d")), 40)
    assert [arm.name for arm in arms] == ["2d", "3d"]
    assert [arm.configuration.batch for arm in arms] == [16, 2]  # 2 x 8 x 16 x 16 = 16 x 16 x 16 = 4096 voxels
    assert [arm.voxels for arm in arms] == [4096, 4096]
    assert len({arm.configuration.training.epochs * arm.configuration.training.steps_per_epoch for arm in arms}) == 1


def test_a_cascade_is_no_arm(make_configuration: Make) -> None:
    base = make_configuration()
    network = replace(base.network, in_channels=4)
    cascade = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    with pytest.raises(PlanError, match="a cascade"):
        made_equal(ablation_arms(card_of(cascade)), 10)


def test_batches_come_as_near_as_whole_patches_allow() -> None:
    assert equal_batches([4096, 256], 8192) == (2, 32)
    # 3 and 2 patches of 100 and 148 voxels: 300 and 296, where one of each would be 100 and 148
    assert equal_batches([100, 148], 148) == (3, 2)
    for patches, most in (([110592, 76800], 110592), ([245760, 327680], 327680), ([138240, 163840, 64000], 163840)):
        voxels = [batch * patch for batch, patch in zip(equal_batches(patches, most), patches, strict=True)]
        plain = [max(1, round(most / patch)) * patch for patch in patches]
        assert max(voxels) / min(voxels) < max(plain) / min(plain) and max(voxels) <= 2.5 * most


def test_patches_where_none_is_named(make_configuration: Make) -> None:
    base = make_configuration(spacing_mm=(4.0, 1.0, 1.5), median_shape=(12, 100, 60), patch=(8, 32, 32))
    arms = patch_arms(base)
    assert [arm.name for arm in arms] == ["16", "24", "32"]
    assert arms[-1].configuration.patch == (8, 32, 32)  # the planned one, not what 32 voxels would come to
    small = make_configuration(median_shape=(9, 9, 9), patch=(10, 10, 10))
    assert [arm.configuration.patch for arm in patch_arms(small)] == [(6, 6, 6), (8, 8, 8), (10, 10, 10)]
    tiny = make_configuration(median_shape=(4, 4, 4), patch=(4, 4, 4))
    assert [arm.configuration.patch for arm in patch_arms(tiny)] == [(2, 2, 2), (4, 4, 4)]


def test_dimensions_where_none_is_named(make_configuration: Make, make_plan: Callable[..., Plan]) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    plan = make_plan(configurations=(flat, make_configuration()), default="2d")
    assert [arm.name for arm in dimension_arms(plan)] == ["2d", "3d"]
    with pytest.raises(PlanError, match=r"no configuration 2\.5d"):
        dimension_arms(plan, ("2d", "2.5d"))


def test_arms_that_are_one(make_configuration: Make) -> None:
    with pytest.raises(PlanError, match=r"msff\+sace and sace\+msff are the same"):
        made_equal(ablation_arms(card_of(make_configuration()), ("base", "msff+sace", "sace+msff")), 10)


def test_one_class_has_nothing_to_weigh(make_configuration: Make) -> None:
    base = make_configuration()
    network, loss = replace(base.network, out_channels=2), replace(base.loss, class_weights=(1.0, 1.0))
    _, sace = ablation_arms(card_of(replace(base, network=network, loss=loss)), ("base", "sace"))
    assert sace.what.endswith("(of one class: the same as plain)")


def test_patches_follow_the_spacing_and_the_case(make_configuration: Make) -> None:
    base = make_configuration(spacing_mm=(4.0, 1.0, 1.5), median_shape=(12, 100, 60), patch=(8, 32, 32))
    arms = patch_arms(base, (16, 32, 64), ("none", "masked"))
    assert [arm.name for arm in arms] == ["16", "16+masked", "32", "32+masked", "64", "64+masked"]
    # 32 mm: 8 slices of 4 mm, 32 voxels of 1 mm, 21 of 1.5 mm; strides divide by 2
    assert [arm.configuration.patch for arm in arms[::2]] == [(4, 16, 12), (8, 32, 22), (12, 64, 44)]
    assert [arm.pretraining for arm in arms[:2]] == ["none", "masked"]
    equal = made_equal(arms, 10)
    most = 2 * 12 * 64 * 44
    assert [arm.configuration.batch for arm in equal[::2]] == [
        round(most / prod(arm.configuration.patch)) for arm in arms[::2]
    ]
    with pytest.raises(PlanError, match="as 15 does"):
        patch_arms(make_configuration(), (15, 16))


@pytest.fixture
def several(make_configuration: Make, make_plan: Callable[..., Plan]) -> Plan:
    """Three channels, of which T1 and STIR may be missing; 2.5d."""
    base = make_configuration(spacing_mm=(1.0, 1.0))
    network = replace(base.network, in_channels=3 * 3 + 2)
    made = replace(
        base,
        name="2.5d",
        neighbours=1,
        normalisation=("zscore", "ct", "zscore"),
        network=network,
    )
    intensities = tuple(IntensityPlan(100.0 + index, 20.0, 10.0, 200.0) for index in range(3))
    data = {"channels": ("T2", "T1", "STIR"), "intensities": intensities, "presence": PresencePlan((1, 2), 0.25)}
    return make_plan(made, **data)


def test_arms_of_sequences(several: Plan) -> None:
    arms = sequence_arms(several, several.configuration(), ("T2", "T1", "STIR+T1", "T2+STIR"))
    assert [arm.channels for arm in arms] == [("T2",), ("T1",), ("T1", "STIR"), ("T2", "STIR")]
    assert [arm.configuration.network.in_channels for arm in arms] == [3, 3, 8, 7]
    assert [several.data.taking(arm.channels).optional for arm in arms] == [(), (), (0, 1), (1,)]
    assert arms[1].configuration.normalisation == ("ct",)
    fewer = build([(16, 32, 24)], [(1.0, 1.0, 1.0)], ("L1", "L2", "L3"), channels=("T1", "STIR"))
    made = arm_plan(several, arms[2], fewer, FOLDS)
    assert made.fingerprint_hash == fewer.hash()
    assert made.data.channels == ("T1", "STIR") and [one.mean for one in made.data.intensities] == [101.0, 102.0]
    assert plan_from_toml(plan_to_toml(made)) == made


def test_an_arm_on_fewer_cases_weighs_by_their_sizes(several: Plan) -> None:
    """A case without the arm's sequences is not in its data, and the sizes in a plan must be those of its data."""
    whole = build([(16, 32, 24)] * 2, [(1.0, 1.0, 1.0)] * 2, ("L1", "L2", "L3"), voxels=(900, 400, 100))
    base = several.configuration()
    by_class = replace(base, loss=replace(base.loss, kind="dice_size_adaptive_ce"))
    sized = replace(base, loss=replace(base.loss, kind="dice_size_adaptive_ce", largest_size=123.0))
    for configuration in (by_class, sized):
        (arm,) = sequence_arms(several, configuration, ("T1",))
        made = arm_plan(several, arm, whole, FOLDS).card()
        loss = made.configuration.loss
        fold_loss(made, 0, FOLDS[0])  # raises no PlanError
        if configuration is sized:
            assert loss.largest_size == 90.0  # 900 voxels on 10 slices
        else:
            assert loss.class_weights == (1.0, 1.0, 1.5, 3.0)  # roots of 900/900, 900/400, 900/100
    own = replace(base, loss=replace(base.loss, kind="dice_size_adaptive_ce", class_weights=(1.0, 2.0, 3.0, 4.0)))
    (arm,) = sequence_arms(several, own, ("T1",))
    made = arm_plan(several, arm, whole, FOLDS).card()
    assert fold_loss(made, 0, FOLDS[0]).class_weights == (1.0, 2.0, 3.0, 4.0)


def test_sequences_are_each_and_all_where_none_is_named(several: Plan) -> None:
    arms = sequence_arms(several, several.configuration())
    assert [arm.name for arm in arms] == ["T2", "T1", "STIR", "T2+T1+STIR"]
    assert arms[-1].configuration == several.configuration()
    assert [arm.folder for arm in arms] == ["T2", "T1", "STIR", "T2+T1+STIR"]


def test_a_channel_may_itself_hold_a_plus(several: Plan) -> None:
    named = replace(several, data=replace(several.data, channels=("T2", "T1+C", "fat/water")))
    arms = sequence_arms(named, named.configuration(), ("T1+C", "fat/water"))
    assert [arm.channels for arm in arms] == [("T1+C",), ("fat/water",)]
    assert arms[1].folder == "fat_water"


def test_sequences_that_there_are_not(several: Plan, make_plan: Callable[..., Plan]) -> None:
    with pytest.raises(PlanError, match="with a comma in their names: T1, fat sat"):
        named = replace(several, data=replace(several.data, channels=("T2", "T1, fat sat", "STIR")))
        sequence_arms(named, named.configuration())
    with pytest.raises(PlanError, match="T2, T1, STIR"):
        sequence_arms(several, several.configuration(), ("T2", "FLAIR"))
    with pytest.raises(PlanError, match="one channel"):
        sequence_arms(make_plan(), make_plan().configuration())


def test_arms_of_one_name(make_configuration: Make) -> None:
    with pytest.raises(PlanError, match="distinct names"):
        made_equal(ablation_arms(card_of(make_configuration()), ("base", "base")), 10)
