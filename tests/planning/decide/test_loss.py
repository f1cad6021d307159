from __future__ import annotations

from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint


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
