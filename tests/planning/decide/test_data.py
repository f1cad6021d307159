"""What is true of a data set, in its plan: regions, sides, levels, channels that may be missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autospine.data.folds import Fold
from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.decide.data import planned_levels
from autospine.planning.decide.fold_loss import resolve_loss
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.transfer import transfer_plan
from autospine.planning.document.data import LevelSizes, LevelsPlan, PresencePlan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import Anatomy, AxisAnatomy
from autospine.planning.measured.fingerprint import Fingerprint

DECLARED = (Region("column", (1, 2, 3, 4, 5), 2), Region("lower", (1, 2), 1))


def across(fingerprint: Fingerprint) -> AxisAnatomy:
    return Anatomy.of(fingerprint).axes[2]


def levels_of(fingerprint: Fingerprint) -> LevelsPlan | None:
    return planned_levels(fingerprint, Anatomy.of(fingerprint), [name for name, _ in fingerprint.labels]).value


@pytest.fixture
def regional(lumbar: Fingerprint) -> Fingerprint:
    """The five lumbar levels as a column and its two lowest."""
    return replace(lumbar, regions=DECLARED)


def test_an_output_per_region(regional: Fingerprint) -> None:
    plan = make_plan(regional, Recipe())
    data = plan.data
    assert (data.members, data.written) == (((1, 2, 3, 4, 5), (1, 2)), (2, 1))
    assert data.classes == 5 and data.targets == ("column", "lower")
    # they overlap: there is no chain of levels to agree on
    assert data.levels is None
    assert "L5 + L4" in plan.reasons["regions.values"]
    for configuration in plan.configurations:
        assert configuration.network.out_channels == len(configuration.loss.class_weights) == 2
        assert "2 regions of 5 labels" in plan.reasons[f"{configuration.name}.network.out_channels"]
    assert plan_from_toml(plan_to_toml(plan)) == plan
    assert transfer_plan(plan, regional, Recipe()).configurations == plan.configurations


def test_values_become_classes_by_their_place(regional: Fingerprint) -> None:
    values = tuple((name, 10 * value) for name, value in regional.labels)
    tens = replace(regional, labels=values, regions=(Region("a", (10, 30), 30), Region("b", (20, 40, 50), 20)))
    data = make_plan(tens, Recipe()).data
    assert data.members == ((1, 3), (2, 4, 5)) and data.written == (3, 2)


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
    folds = resolve_loss(plan.card("3d_fullres"), regional, [Fold((regional.cases[0].case,), ())]).folds
    assert folds is not None and folds.weights is not None
    assert folds.weights[0] == pytest.approx((1.0, 2.5**0.5))


def test_regions_that_overlap_have_no_components(regional: Fingerprint, lumbar: Fingerprint) -> None:
    wanted = Recipe(loss="dice_size_adaptive_ce", unit="component")
    with pytest.raises(PlanError, match=r"column, lower[\s\S]*unit = \"class\""):
        make_plan(regional, wanted)
    with pytest.raises(PlanError, match=r"column, lower[\s\S]*without --from"):
        transfer_plan(make_plan(lumbar, wanted), regional, wanted)
    # nor where a plan is edited
    card = make_plan(regional, replace(wanted, unit="class")).card()
    configuration = card.configuration
    with pytest.raises(PlanError, match=r"training.foreground_unit"):
        component = replace(configuration.training, foreground_unit="component")
        card.with_configuration(replace(configuration, training=component))
    with pytest.raises(PlanError, match=r"loss.largest_size"):
        card.with_loss(replace(configuration.loss, class_weights=(1.0, 1.0), largest_size=10.0))


def test_paired_sides_are_not_mirrored(regional: Fingerprint) -> None:
    names = ("left_a", "right_a", "c", "d", "e")
    sided = replace(regional, labels=tuple((name, value) for value, name in enumerate(names, 1)))
    plan = make_plan(sided, Recipe())
    assert plan.data.sides == ()
    for configuration in plan.configurations:
        assert 2 not in {
            configuration.axis_order[-configuration.network.dimension :][axis]
            for axis in configuration.training.mirror_axes
        }


@pytest.mark.parametrize(
    ("regions", "key"),
    [
        ((Region("a", (1, 2), 1), Region("b", (6,), 6)), r"regions\.values"),
        ((Region("a", (1, 2, 3, 4, 5), 1),), "configurations.2d.network.out_channels"),
    ],
)
def test_regions_that_do_not_fit(regional: Fingerprint, regions: tuple[Region, ...], key: str) -> None:
    plan = make_plan(regional, Recipe())
    with pytest.raises(PlanError, match=key):
        replace(plan, data=replace(plan.data, regions=regions))


@pytest.mark.parametrize(
    "regions",
    [
        (Region("a", (1,), 1), Region("a", (2,), 2)),
        (Region("a", (), 1),),
        (Region("a", (0, 1), 1),),
        (Region("a", (1, 1), 1),),
        (Region("a", (1, 2), 3),),
    ],
)
def test_regions_that_cannot_be(regional: Fingerprint, regions: tuple[Region, ...]) -> None:
    with pytest.raises(PlanError, match=r"regions\."):
        replace(make_plan(regional, Recipe()).data, regions=regions)


def test_weights_of_other_regions_are_others(regional: Fingerprint) -> None:
    plan = make_plan(regional, Recipe())
    other = (replace(plan.data.regions[0], written=3), plan.data.regions[1])
    card = plan.card("2d")
    assert not card.takes_weights_of(replace(card, data=replace(plan.data, regions=other)))


@pytest.mark.parametrize("sides", [(), (("one", "other"),)])
def test_paired_regions_are_not_mirrored_either(regional: Fingerprint, sides: tuple[tuple[str, str], ...]) -> None:
    """Their labels have no names that tell sides; those of the regions do, or the data set pairs them."""
    names = ("one", "other") if sides else ("left_lesion", "right_lesion")
    regions = (Region(names[0], (1, 2), 1), Region(names[1], (3, 4, 5), 3))
    sided = replace(regional, regions=regions, sides=sides)
    assert not across(sided).mirrored and across(regional).mirrored


@pytest.mark.parametrize("name", ["left_tumour", "Tumour (right side)"])
def test_a_side_without_its_other_is_not_mirrored(regional: Fingerprint, name: str) -> None:
    lone = replace(regional, regions=(Region("all", (1, 2, 3, 4, 5), 1), Region(name, (3,), 3)))
    assert not across(lone).mirrored and name in across(lone).reason
    plain = replace(regional, regions=(), labels=((name, 1), *regional.labels[1:]))
    assert not across(plain).mirrored


def test_levels_say_how_often_a_view_shows_their_ends(lumbar: Fingerprint) -> None:
    levels = levels_of(lumbar)
    # of centroids 35 mm apart and 2 mm further back each; all alike, which no predictions are
    sizes = LevelSizes((35.0,) * 5, (round(math.hypot(35, 2), 2),) * 4, 0.05, 0.05, 0.1)
    assert levels == LevelsPlan((1, 2, 3, 4, 5), 0, 1.0, (0.98, 0.98), sizes)
    above = [replace(case, class_centroids_mm=(None, *case.class_centroids_mm[1:])) for case in lumbar.cases[:10]]
    some = levels_of(replace(lumbar, cases=(*above, *lumbar.cases[10:])))
    assert some is not None
    assert some.ends_seen == (round(27.5 / 38, 4), 0.98)


def test_sizes_of_levels_are_those_of_the_usual_patient(lumbar: Fingerprint) -> None:
    """Also where patients differ in size, and large ones lack the last level."""
    rng, cases = np.random.default_rng(0), []
    usual, apart = np.array([36.0, 34.0, 32.0, 30.0, 28.0]), np.array([0.0, 37.0, 72.0, 105.0, 136.0])
    for number, case in enumerate(lumbar.cases):
        size = 1.2 if number % 2 else 1 / 1.2
        extents = [(value, 20.0, 20.0) for value in size * usual * np.exp(rng.normal(0, 0.06, 5))]
        places = [(40 + size * place, 100.0, 40.0) for place in apart]
        if number % 4 == 1:
            extents[4], places[4] = (0.0, 0.0, 0.0), None
        cases.append(replace(case, class_extents_mm=tuple(extents), class_centroids_mm=tuple(places)))
    levels = levels_of(replace(lumbar, cases=tuple(cases)))
    assert levels is not None and levels.sizes is not None
    assert levels.sizes.extents_mm == pytest.approx(usual, rel=0.03)
    assert levels.sizes.gaps_mm == pytest.approx(np.diff(apart), rel=0.03)
    assert levels.sizes.extent_spread == pytest.approx(0.06, rel=0.2) and levels.sizes.gap_spread == 0.05
    assert levels.sizes.patient_spread == pytest.approx(math.log(1.2), rel=0.1)


def test_of_few_cases_nothing_is_said_of_sizes(lumbar: Fingerprint) -> None:
    lacking = [replace(case, class_centroids_mm=(*case.class_centroids_mm[:4], None)) for case in lumbar.cases[4:]]
    levels = levels_of(replace(lumbar, cases=(*lumbar.cases[:4], *lacking)))
    assert levels is not None and levels.sizes is None


@pytest.mark.parametrize("unit", [0.001, 1000.0])
def test_of_another_unit_nothing_is_said_of_sizes(lumbar: Fingerprint, unit: float) -> None:
    cases = [
        replace(
            case,
            spacing_mm=tuple(unit * step for step in case.spacing_mm),
            class_extents_mm=tuple(tuple(unit * edge for edge in edges) for edges in case.class_extents_mm),
            class_centroids_mm=tuple(place and tuple(unit * one for one in place) for place in case.class_centroids_mm),
        )
        for case in lumbar.cases
    ]
    scaled = replace(lumbar, cases=tuple(cases))
    found = planned_levels(scaled, Anatomy.of(scaled), [name for name, _ in scaled.labels])
    assert found.value is not None and found.value.sizes is None
    assert "no vertebrae in millimetres" in found.keyed["sizes"]


PLACES = [(40.0, 50.0, 10.0), (40.0, 50.0, 30.0), (40.0, 50.0, 70.0), (40.0, 50.0, 90.0)]


def sided(make_fingerprint: Callable[..., Fingerprint], names: tuple[str, ...]) -> Fingerprint:
    """Classes that lie side by side from right to left."""
    shapes, spacings = [(60, 200, 200)] * 6, [(4.0, 1.0, 1.0)] * 6
    return make_fingerprint(shapes, spacings, names, centroids=PLACES[: len(names)], extent_mm=10.0)


def test_sides_swap_where_that_makes_a_mirrored_image_right(make_fingerprint: Callable[..., Fingerprint]) -> None:
    names = ("right_ES", "right_MF", "left_MF", "left_ES")
    plan = make_plan(sided(make_fingerprint, names), Recipe())
    flat, full = plan.configuration("2d"), plan.configuration("3d_fullres")
    assert plan.data.sides == ((3, 2), (4, 1))
    assert plan.card("2d").sides_axis == 1 and flat.training.mirror_axes == (0, 1)
    assert plan.card("3d_fullres").sides_axis == 2 and full.training.mirror_axes == (0, 1, 2)
    assert plan.data.swapped == (0, 4, 3, 2, 1)
    assert flat.training.rotation_deg == 15.0  # half a turn would mirror them, and swaps nothing
    assert plan.reasons["2d.training.mirror_axes"].endswith("they swap)")
    assert plan_from_toml(plan_to_toml(plan)) == plan


@pytest.mark.parametrize(
    "names",
    [
        ("right_ES", "right_MF", "left_MF", "spleen"),  # a side without its partner
        ("liver", "spine", "spleen", "stomach"),  # no sides, but an order
        ("left_a", "right_a", "cord", "spleen"),  # sides, and an order of others
    ],
)
def test_sides_do_not_swap_where_that_would_not_mend_it(
    make_fingerprint: Callable[..., Fingerprint], names: tuple[str, ...]
) -> None:
    plan = make_plan(sided(make_fingerprint, names), Recipe())
    for name in ("2d", "3d_fullres"):
        configuration = plan.configuration(name)
        assert plan.data.sides == () and plan.card(name).sides_axis is None
        assert configuration.training.mirror_axes == tuple(range(len(configuration.patch) - 1))


def test_the_dataset_may_pair_labels_itself(make_fingerprint: Callable[..., Fingerprint]) -> None:
    plain = sided(make_fingerprint, ("psoas A", "column", "psoas B"))
    assert make_plan(plain, Recipe()).data.sides == ()
    paired = replace(plain, sides=(("psoas B", "psoas A"),))
    plan = make_plan(paired, Recipe())
    assert plan.data.sides == ((3, 1),) and plan.card("2d").sides_axis == 1
    assert paired.hash() != plain.hash() and Fingerprint.from_json(paired.to_json()) == paired


def test_a_plan_that_says_none_or_all_swaps_what_it_mirrors(make_fingerprint: Callable[..., Fingerprint]) -> None:
    fingerprint = sided(make_fingerprint, ("right_ES", "right_MF", "left_MF", "left_ES"))
    for mirror, axis in (("none", None), ("all", 1)):
        plan = make_plan(fingerprint, Recipe(mirror=mirror))  # type: ignore[arg-type]
        assert plan.data.sides == ((3, 2), (4, 1)) and plan.card("2d").sides_axis == axis


@pytest.mark.parametrize("pairs", [((1, 1),), ((1, 2), (2, 3)), ((0, 1),), ((1, 9),)])
def test_sides_that_cannot_be(make_fingerprint: Callable[..., Fingerprint], pairs: Any) -> None:
    data = make_plan(sided(make_fingerprint, ("right_ES", "left_ES")), Recipe()).data
    with pytest.raises(PlanError, match="sides"):
        replace(data, sides=pairs)


@pytest.fixture
def several(lumbar: Fingerprint) -> Fingerprint:
    """Three sequences, of which the second is missing in every fourth case."""
    cases = tuple(replace(case, missing=(1,) if number % 4 == 0 else ()) for number, case in enumerate(lumbar.cases))
    return replace(lumbar, channels=("T2", "T1", "STIR"), intensities=lumbar.intensities * 3, cases=cases)


def test_what_some_case_lacks_may_be_missing(several: Fingerprint) -> None:
    plan = make_plan(several, Recipe())
    assert plan.data.presence == PresencePlan((1,), 0.25)
    reason = plan.reasons["presence.channels"]
    assert "T1 may be missing" in reason and "T2 in 37, T1 in 27, STIR in 37" in reason
    for card in plan.cards:
        configuration, entering = card.configuration, card.entering
        slices = 2 * configuration.neighbours + 1
        assert configuration.network.in_channels == 3 * slices + 1
        assert entering.images == 3 and entering.scan == slice(0, 3 * slices)
    assert plan_from_toml(plan_to_toml(plan)) == plan


def test_a_recipe_lets_others_be_missing_too(several: Fingerprint, lumbar: Fingerprint) -> None:
    wanted = make_plan(several, Recipe(optional_channels=("STIR",), channel_dropout=0.5)).data
    assert wanted.presence == PresencePlan((1, 2), 0.5)
    assert make_plan(several, Recipe(optional_channels="all")).data.optional == (0, 1, 2)
    # the only channel there is cannot be missing
    assert make_plan(lumbar, Recipe(optional_channels="all")).data.presence is None
    with pytest.raises(PlanError, match="the only channel there is"):
        make_plan(lumbar, Recipe(optional_channels=("water",)))
    assert (
        "the recipe default asks"
        in make_plan(several, Recipe(optional_channels=("STIR",))).reasons["presence.channels"]
    )
    with pytest.raises(PlanError, match=r"optional_channels names PD[\s\S]*T2, T1, STIR"):
        make_plan(several, Recipe(optional_channels=("PD",)))


def test_every_channel_everywhere_plans_nothing(several: Fingerprint) -> None:
    whole = replace(several, cases=tuple(replace(case, missing=()) for case in several.cases))
    plan = make_plan(whole, Recipe())
    assert plan.data.presence is None
    for configuration in plan.configurations:
        assert configuration.network.in_channels == 3 * (2 * configuration.neighbours + 1)


def test_a_moved_plan_keeps_its_inputs(several: Fingerprint) -> None:
    """What pretraining allowed to be missing stays an input, and what the new data lack becomes one."""
    plan = make_plan(several, Recipe(channel_dropout=0.4))
    whole = replace(several, cases=tuple(replace(case, missing=()) for case in several.cases))
    assert transfer_plan(plan, whole, Recipe()).data.presence == PresencePlan((1,), 0.4)
    other = replace(several, cases=tuple(replace(case, missing=(2,)) for case in several.cases))
    moved = transfer_plan(plan, other, Recipe())
    assert moved.data.presence == PresencePlan((1, 2), 0.4) and moved.configuration().network.in_channels == 5
    assert "taken from" in moved.reasons["presence.dropout"]


def test_weights_with_other_inputs_are_others(several: Fingerprint) -> None:
    plan = make_plan(several, Recipe())
    card = plan.card()
    dropped = replace(plan.data, presence=PresencePlan((1,), 0.9))
    other = replace(plan.data, presence=PresencePlan((2,), 0.25))
    assert card.takes_weights_of(replace(card, data=dropped))
    assert not card.takes_weights_of(replace(card, data=other))


@pytest.mark.parametrize(
    ("presence", "key"),
    [
        (lambda: PresencePlan((), 0.1), "presence.channels"),
        (lambda: PresencePlan((1, 1), 0.1), "presence.channels"),
        (lambda: PresencePlan((-1,), 0.1), "presence.channels"),
        (lambda: PresencePlan((1,), 1.0), "presence.dropout"),
        (lambda: PresencePlan((3,), 0.1), "presence.channels"),
        (lambda: PresencePlan((0, 1), 0.1), "network.in_channels"),
    ],
)
def test_what_cannot_be_is_refused(several: Fingerprint, presence: object, key: str) -> None:
    card = make_plan(several, Recipe()).card()
    with pytest.raises(PlanError, match=key):
        replace(card, data=replace(card.data, presence=presence()))  # type: ignore[operator]
