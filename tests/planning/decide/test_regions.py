"""Plans of data sets whose labels overlap in regions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.decide.fold_loss import resolve_loss
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.transfer import transfer_plan
from autospine.planning.document.model import ModelCard
from autospine.planning.document.parts import RegionsPlan
from autospine.planning.document.plan import Configuration, Plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import read_anatomy
from autospine.planning.measured.fingerprint import Fingerprint

DECLARED = (("column", (1, 2, 3, 4, 5), 2), ("lower", (1, 2), 1))


@pytest.fixture
def regional(lumbar: Fingerprint) -> Fingerprint:
    """The five lumbar levels as a column and its two lowest."""
    return replace(lumbar, regions=DECLARED)


def test_an_output_per_region(regional: Fingerprint) -> None:
    plan = make_plan(regional, Recipe())
    for configuration in plan.configurations:
        assert configuration.regions == RegionsPlan(("column", "lower"), ((1, 2, 3, 4, 5), (1, 2)), (2, 1))
        assert configuration.network.out_channels == len(configuration.loss.class_weights) == 2
        assert configuration.classes == 5 and configuration.targets(["L5"]) == ("column", "lower")
        # they overlap: there is no chain of levels to agree on
        assert configuration.levels is None
        assert "2 regions of 5 labels" in plan.reasons[f"{configuration.name}.network.out_channels"]
        assert "L5 + L4" in plan.reasons[f"{configuration.name}.regions.classes"]
    assert plan_from_toml(plan_to_toml(plan)) == plan
    assert transfer_plan(plan, regional, Recipe()).configurations == plan.configurations


def test_values_become_classes_by_their_place(regional: Fingerprint) -> None:
    values = tuple((name, 10 * value) for name, value in regional.labels)
    tens = replace(regional, labels=values, regions=(("a", (10, 30), 30), ("b", (20, 40, 50), 20)))
    regions = make_plan(tens, Recipe()).configuration().regions
    assert regions is not None and regions.classes == ((1, 3), (2, 4, 5)) and regions.written == (3, 2)


def test_a_cascade_gets_a_channel_per_class(regional: Fingerprint) -> None:
    large = replace(
        regional,
        cases=tuple(
            replace(case, shape=(900, 900, 300), cropped_shape=(900, 900, 300), spacing_mm=(0.5, 0.5, 0.5))
            for case in regional.cases
        ),
    )
    cascade = make_plan(large, Recipe()).configuration("3d_cascade_fullres")
    assert cascade.network.in_channels == 1 + 5 and cascade.network.out_channels == 2


def test_the_loss_goes_by_the_size_of_the_regions(regional: Fingerprint) -> None:
    """Two small of five equal labels: the column is 2.5 times as large as its lower part."""
    wanted = Recipe(loss="dice_size_adaptive_ce")
    plan = make_plan(regional, wanted)
    configuration = plan.configuration("3d_fullres")
    assert configuration.loss.class_weights == pytest.approx((1.0, 2.5**0.5), rel=1e-3)
    folds = resolve_loss(configuration, regional, [Fold((regional.cases[0].case,), ())]).folds
    assert folds is not None and folds.weights is not None
    assert folds.weights[0] == pytest.approx((1.0, 2.5**0.5))


def test_regions_that_overlap_have_no_components(regional: Fingerprint, lumbar: Fingerprint) -> None:
    wanted = Recipe(loss="dice_size_adaptive_ce", unit="component")
    with pytest.raises(PlanError, match=r"column, lower[\s\S]*unit = \"class\""):
        make_plan(regional, wanted)
    with pytest.raises(PlanError, match=r"column, lower[\s\S]*without --from"):
        transfer_plan(make_plan(lumbar, wanted), regional, wanted)
    # nor where a plan is edited
    configuration = make_plan(regional, replace(wanted, unit="class")).configuration()
    with pytest.raises(PlanError, match=r"training.foreground_unit"):
        replace(configuration, training=replace(configuration.training, foreground_unit="component"))
    with pytest.raises(PlanError, match=r"loss.largest_size"):
        replace(configuration, loss=replace(configuration.loss, class_weights=(1.0, 1.0), largest_size=10.0))


def test_paired_sides_are_not_mirrored(regional: Fingerprint) -> None:
    names = ("left_a", "right_a", "c", "d", "e")
    sided = replace(regional, labels=tuple((name, value) for value, name in enumerate(names, 1)))
    for configuration in make_plan(sided, Recipe()).configurations:
        assert configuration.sides is None
        assert 2 not in {
            configuration.axis_order[-configuration.network.dimension :][axis]
            for axis in configuration.training.mirror_axes
        }


@pytest.mark.parametrize(
    ("regions", "key"),
    [
        (RegionsPlan(("a", "b"), ((1, 2), (6,)), (1, 6)), "regions.classes"),
        (RegionsPlan(("a",), ((1, 2, 3, 4, 5),), (1,)), "regions.names"),
    ],
)
def test_regions_that_do_not_fit(regional: Fingerprint, regions: RegionsPlan, key: str) -> None:
    plan = make_plan(regional, Recipe())
    with pytest.raises(PlanError, match=key):
        exchange(plan, replace(plan.configuration("2d"), regions=regions))


@pytest.mark.parametrize(
    "numbers",
    [
        (("a", "a"), ((1,), (2,)), (1, 2)),
        (("a", "b"), ((1,),), (1,)),
        (("a",), ((),), (1,)),
        (("a",), ((0, 1),), (1,)),
        (("a",), ((1, 2),), (3,)),
        ((), (), ()),
    ],
)
def test_regions_that_cannot_be(numbers: tuple[tuple[str, ...], tuple[tuple[int, ...], ...], tuple[int, ...]]) -> None:
    with pytest.raises(PlanError, match=r"regions\."):
        RegionsPlan(*numbers)


def test_weights_of_other_regions_are_others(regional: Fingerprint) -> None:
    plan = make_plan(regional, Recipe())
    configuration = plan.configuration("2d")
    assert configuration.regions is not None
    other = replace(configuration, regions=replace(configuration.regions, written=(3, 1)))
    card = ModelCard.from_plan(plan, configuration)
    assert not card.takes_weights_of(ModelCard.from_plan(plan, other))


def exchange(plan: Plan, configuration: Configuration) -> Plan:
    return plan.with_configuration(configuration, {})


@pytest.mark.parametrize("sides", [(), (("one", "other"),)])
def test_paired_regions_are_not_mirrored_either(regional: Fingerprint, sides: tuple[tuple[str, str], ...]) -> None:
    """Their labels have no names that tell sides; those of the regions do, or the data set pairs them."""
    names = ("one", "other") if sides else ("left_lesion", "right_lesion")
    regions = ((names[0], (1, 2), 1), (names[1], (3, 4, 5), 3))
    sided = replace(regional, regions=regions, sides=sides)
    assert not read_anatomy(sided)[2].mirrored and read_anatomy(regional)[2].mirrored


@pytest.mark.parametrize("name", ["left_tumour", "Tumour (right side)"])
def test_a_side_without_its_other_is_not_mirrored(regional: Fingerprint, name: str) -> None:
    lone = replace(regional, regions=(("all", (1, 2, 3, 4, 5), 1), (name, (3,), 3)))
    assert not read_anatomy(lone)[2].mirrored and name in read_anatomy(lone)[2].reason
    plain = replace(regional, regions=(), labels=((name, 1), *regional.labels[1:]))
    assert not read_anatomy(plain)[2].mirrored
