from __future__ import annotations

from autospine.planning.decide.training import planned_epochs, planned_optimiser, planned_training
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AxisAnatomy
from autospine.planning.measured.column import View


def test_the_schedule_is_the_references_or_the_recipes() -> None:
    rule = planned_epochs(Recipe())
    assert (rule.value, rule.why) == (1000, "1000 x 250 steps where no time budget is given (nnU-Net v2.8)")
    own = planned_epochs(Recipe(epochs=50, steps_per_epoch=100))
    assert (own.value, own.why) == (50, "the recipe default: 50 x 100 steps where no time budget is given")


def test_the_optimiser_is_the_references_or_the_recipes() -> None:
    assert planned_optimiser(Recipe()).value == "sgd"
    own = planned_optimiser(Recipe(optimiser="adamw"))
    assert (own.value, own.why) == ("adamw", "the recipe default")


def test_a_training_says_why_of_all_but_the_time() -> None:
    free = AxisAnatomy(False, "no order")
    training = planned_training(Recipe(unit="component"), (64, 64), (free, free), View(False, "none"))
    assert set(training.keyed) == set(vars(training.value)) - {"budget_s"}
    assert (training.value.mirror_axes, training.value.rotation_deg, training.value.shift) == ((0, 1), 180.0, 0.0)
    assert "component (lesion)" in training.keyed["foreground_unit"]
