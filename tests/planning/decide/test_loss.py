from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.decide.loss import (
    By,
    class_sizes,
    planned_kind,
    size_adaptive_weights,
    size_ratio,
    target_sizes,
    weigh,
)
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.data import DataPlan, IntensityPlan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint


def test_class_sizes_are_medians_over_the_cases_that_have_the_class() -> None:
    voxels = [(100, 0), (300, 40), (200, 80)]
    slices = [(10, 0), (10, 4), (10, 4)]
    spacings = [(1.0, 1.0), (1.0, 1.0), (2.0, 1.0)]
    # per slice at 1 x 1 mm: 10, 30, 20 x 2 = 40 and 10, 20 x 2 = 40
    assert class_sizes(voxels, slices, spacings, (1.0, 1.0)) == (30.0, 25.0)
    assert class_sizes(voxels, slices, spacings, (2.0, 2.0)) == (7.5, 6.25)
    assert class_sizes([(0, 5)], [(0, 1)], [(1.0, 1.0)], (1.0, 1.0)) == (0.0, 5.0)


def test_size_adaptive_weights() -> None:
    assert size_adaptive_weights((400.0, 100.0, 4.0)) == (1.0, 1.0, 2.0, 5.0)  # roots of 1, 4, 100 (capped)
    assert size_adaptive_weights((400.0, 100.0), alpha=1.0) == (1.0, 1.0, 4.0)
    assert size_adaptive_weights((50.0, 0.0)) == (1.0, 1.0, 1.0)  # the second never occurs


@pytest.mark.parametrize(
    ("sizes", "alpha", "cap"), [((9.0, 1.0), 0.0, 5.0), ((9.0, 1.0), 0.5, 1.0), ((7.0, 7.0), 0.5, 5.0)]
)
def test_no_weighting_is_exactly_one(sizes: tuple[float, ...], alpha: float, cap: float) -> None:
    assert size_adaptive_weights(sizes, alpha, cap) == (1.0, 1.0, 1.0)


def test_size_ratio_leaves_absent_classes_out() -> None:
    assert size_ratio((400.0, 0.0, 100.0)) == 4.0
    assert size_ratio((0.0, 0.0)) == 1.0


@pytest.fixture
def uneven(lumbar: Fingerprint) -> Fingerprint:
    """The first case's last class is far smaller than that of the others."""
    sizes = [(400, 400, 400, 400, 100)] + [(400, 400, 400, 400, 25)] * (len(lumbar.cases) - 1)
    cases = [replace(case, class_voxels=voxels) for case, voxels in zip(lumbar.cases, sizes, strict=True)]
    return replace(lumbar, cases=tuple(cases))


def test_sizes_blended_with_the_batch_take_the_place_of_weights(uneven: Fingerprint) -> None:
    """The usual sizes go with the plan, so that a step can hold its batch against them."""
    wanted = Recipe(loss="dice_size_adaptive_ce", size_source="batch")
    plan = make_plan(uneven, wanted)
    configuration = plan.configuration("3d_fullres")
    assert configuration.loss.usual_sizes == pytest.approx((400, 400, 400, 400, 25))
    assert configuration.loss.class_weights == (1.0,) * 6
    assert "see usual_sizes" in plan.reasons["3d_fullres.loss.class_weights"]
    assert plan_from_toml(plan_to_toml(plan)) == plan
    assert "geometric mean" in plan.reasons["3d_fullres.loss.usual_sizes"]
    # without the weights there is nothing to blend
    assert make_plan(uneven, Recipe(loss="dice_ce", size_source="batch")).configuration().loss.usual_sizes is None
    for sizes in ((1.0,), (), (1.0, -1.0, 1.0, 1.0, 1.0), (1.0, float("inf"), 1.0, 1.0, 1.0)):
        with pytest.raises(PlanError, match="usual_sizes"):
            plan.card("3d_fullres").with_loss(replace(configuration.loss, usual_sizes=sizes))
    with pytest.raises(PlanError, match="usual_sizes"):
        replace(configuration.loss, kind="dice_ce")


LESIONS = Recipe(loss="dice_size_adaptive_ce", unit="component")


@pytest.fixture
def grown(lumbar: Fingerprint) -> Fingerprint:
    """The largest class has 900 voxels in the first case and 400 in the others, over ten slices."""
    sizes = [(900, 100, 100, 100, 25)] + [(400, 100, 100, 100, 25)] * (len(lumbar.cases) - 1)
    cases = [replace(case, class_voxels=voxels) for case, voxels in zip(lumbar.cases, sizes, strict=True)]
    return replace(lumbar, cases=tuple(cases))


@pytest.mark.parametrize(("name", "largest"), [("3d_fullres", 400.0), ("2d", 40.0)])
def test_by_component_a_plan_says_from_which_size_one_weighs_1(grown: Fingerprint, name: str, largest: float) -> None:
    plan = make_plan(grown, LESIONS)
    configuration = plan.configuration(name)
    loss = configuration.loss
    assert loss.largest_size == pytest.approx(largest)
    assert (loss.class_weights, loss.usual_sizes) == ((1.0,) * 6, None)
    assert configuration.training.foreground_unit == "component" and configuration.by_component
    assert plan_from_toml(plan_to_toml(plan)) == plan
    assert "usual size of L5" in plan.reasons[f"{name}.loss.largest_size"]
    assert "lesion" in plan.reasons[f"{name}.training.foreground_unit"]


def test_a_loss_by_component_is_nothing_else_besides(grown: Fingerprint) -> None:
    loss = make_plan(grown, LESIONS).configuration().loss
    assert loss.largest_size is not None
    for changes, key in (
        ({"kind": "dice_ce"}, "largest_size"),
        ({"largest_size": -1.0}, "largest_size"),
        ({"largest_size": float("inf")}, "largest_size"),
        ({"usual_sizes": (1.0,) * 5}, "usual_sizes"),
        ({"class_weights": (1.0, 1.0, 1.0, 1.0, 1.0, 3.0)}, "class_weights"),
    ):
        with pytest.raises(PlanError, match=f"loss.{key}"):
            replace(loss, **changes)


def test_patches_go_by_component_beside_a_plain_loss_too(grown: Fingerprint) -> None:
    configuration = make_plan(grown, Recipe(loss="dice_ce", unit="component")).configuration()
    assert (configuration.loss.largest_size, configuration.training.foreground_unit) == (None, "component")
    assert configuration.by_component
    by_class = make_plan(grown, Recipe(loss="dice_size_adaptive_ce")).configuration()
    assert (by_class.loss.largest_size, by_class.training.foreground_unit) == (None, "class")
    assert not by_class.by_component


def test_components_are_measured_once_and_not_in_each_batch() -> None:
    with pytest.raises(PlanError, match=r'size_source[\s\S]*unit = "component"'):
        Recipe(unit="component", size_source="batch")


def test_without_any_class_there_is_no_largest_size(lumbar: Fingerprint) -> None:
    empty = replace(lumbar, cases=tuple(replace(case, class_voxels=(0,) * 5) for case in lumbar.cases))
    plan = make_plan(empty, LESIONS)
    assert plan.configuration().loss.largest_size == 0
    assert "occurs in any case" in plan.reasons[f"{plan.default}.loss.largest_size"]


ADAPTIVE = "dice_size_adaptive_ce"
GREY = IntensityPlan(100.0, 20.0, 12.5, 240.25)
DATA = DataPlan("toy", ("T2",), (GREY,), (("body", 1), ("cord", 2)))
REGIONAL = replace(DATA, regions=(Region("whole", (1, 2), 1), Region("inner", (2,), 2)))


@pytest.mark.parametrize(
    ("loss", "sizes", "kind", "why"),
    [
        (
            "auto",
            (490.0, 10.0),
            "dice_ce",
            "largest label body (490 voxels) over smallest cord (10): 49 times, below",
        ),
        (
            "auto",
            (500.0, 10.0),
            "dice_size_adaptive_ce",
            "largest label body (500 voxels) over smallest cord (10): 50 times",
        ),
        ("auto", (500.0, 0.0), "dice_ce", "one label: nothing to balance"),
        ("auto", (0.0, 0.0), "dice_ce", "no label occurs in any case: nothing to balance"),
        ("dice_ce", (500.0, 10.0), "dice_ce", "the recipe default asks for it; largest label body"),
    ],
)
def test_the_kind_follows_the_sizes(loss: str, sizes: tuple[float, ...], kind: str, why: str) -> None:
    decided = planned_kind(Recipe(loss=loss), sizes, DATA, "voxels")  # type: ignore[arg-type]
    assert decided.value == kind and str(decided.why).startswith(why)


def test_what_a_voxel_weighs_by() -> None:
    said = {by: f"by {by}" for by in ("class", "batch", "component")}

    def numbers(by: By, data: DataPlan = DATA) -> tuple[object, ...]:
        found = weigh((400.0, 100.0), data, by, 0.5, 5.0, said)
        return tuple(found[key].value for key in ("class_weights", "usual_sizes", "largest_size"))

    assert numbers("class") == ((1.0, 1.0, 2.0), None, None)
    assert numbers("batch") == ((1.0, 1.0, 1.0), (400.0, 100.0), None)
    assert numbers("component") == ((1.0, 1.0, 1.0), None, 400.0)
    assert numbers("nothing") == ((1.0, 1.0, 1.0), None, None)
    # regions have no background
    assert numbers("class", REGIONAL) == ((1.0, 2.0), None, None)


def test_a_region_is_as_large_as_what_it_holds() -> None:
    assert target_sizes((300.0, 100.0), DATA) == (300.0, 100.0)
    assert target_sizes((300.0, 100.0), REGIONAL) == (400.0, 100.0)


def test_regions_have_no_background_to_speak_of(lumbar: Fingerprint) -> None:
    regional = replace(lumbar, regions=(Region("column", (1, 2, 3, 4, 5), 2), Region("lower", (1, 2), 1)))
    wanted = Recipe(loss="dice_size_adaptive_ce")
    key = "2d.loss.class_weights"
    assert make_plan(regional, wanted).reasons[key] == "(largest size / size) ^ 0.5, at most 5"
    assert make_plan(lumbar, wanted).reasons[key].endswith("at most 5; background, which is no anatomy, 1")
