from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.schedule_and_augmentation import (
    planned_epochs,
    planned_mirroring,
    planned_optimiser,
    planned_plane,
    planned_random_contrast,
    planned_rotation,
    planned_shift,
    planned_training,
)
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import AxisAnatomy
from autospine.planning.measured.column import View
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.planning.measured.kinds import Scans

FREE, ORDERED = AxisAnatomy(False, "no order"), AxisAnatomy(True, "an order")
SIDED = AxisAnatomy(True, "sides", swaps=((1, 2),))


def test_an_axis_with_an_order_is_not_mirrored() -> None:
    mirroring = planned_mirroring(Recipe(), (ORDERED, FREE, SIDED))
    assert mirroring.value == (1, 2)
    assert (
        mirroring.why
        == "axis 0 not mirrored (an order); axis 1 mirrored (no order); axis 2 mirrored (sides: they swap)"
    )
    none = planned_mirroring(Recipe(mirror="none"), (ORDERED, FREE))
    assert (none.value, none.why) == ((), "the recipe default says none")
    every = planned_mirroring(Recipe(mirror="all"), (ORDERED, FREE))
    assert (every.value, every.why) == ((0, 1), "the recipe default says all")


def test_flat_patches_turn_in_their_plane() -> None:
    assert planned_plane((64, 64)).value is False
    assert planned_plane((20, 60, 60)).value is False  # 3 times, and not more
    flat = planned_plane((20, 62, 60))
    assert (flat.value, flat.why) == (True, "longest patch edge over the first is 3.1: in plane only above 3")


@pytest.mark.parametrize(
    ("mirror", "patch", "axes", "degrees", "why"),
    [
        ("auto", (64, 64), (FREE, ORDERED), 15.0, "along a rotated axis"),
        ("auto", (64, 64), (FREE, FREE), 180.0, "no order in plane"),
        ("auto", (64, 96), (FREE, FREE), 180.0, "no order in plane"),
        ("auto", (64, 97), (FREE, FREE), 15.0, "1.5 times longer than wide"),
        ("auto", (16, 64, 64), (ORDERED, FREE, FREE), 180.0, "no order in plane"),
        ("auto", (16, 64, 64), (FREE, FREE, SIDED), 15.0, "along a rotated axis"),
        ("auto", (64, 64, 64), (ORDERED, FREE, FREE), 15.0, "along a rotated axis"),
        ("auto", (64, 64, 64), (FREE, FREE, FREE), 30.0, "about every axis of a volume"),
        ("none", (64, 64), (FREE, FREE), 15.0, "mirrors nothing"),
        ("all", (64, 64), (ORDERED, ORDERED), 180.0, "mirrors along every axis"),
    ],
)
def test_a_patch_turns_as_far_as_its_labels_stay_right(
    mirror: str, patch: tuple[int, ...], axes: tuple[AxisAnatomy, ...], degrees: float, why: str
) -> None:
    rotation = planned_rotation(Recipe(mirror=mirror), patch, axes)
    assert rotation.value == degrees and why in rotation.why


def test_patches_are_shifted_where_levels_can_be_counted() -> None:
    assert planned_shift(Recipe(), View(True, "all of them")).value == 0.15
    still = planned_shift(Recipe(), View(False, "none"))
    assert still.value == 0.0 and str(still.why).startswith("none: nothing is to be counted")
    own = planned_shift(Recipe(shift=0.05), View(True, "all of them"))
    assert (own.value, own.why) == (0.05, "the recipe default")


def test_levels_stay_upright_in_a_plan(lumbar: Fingerprint) -> None:
    plan = make_plan(lumbar, Recipe())
    assert plan.configuration("2d").training.mirror_axes == (1,)  # patch axes Z, Y
    assert plan.configuration("3d_fullres").training.mirror_axes == (0, 2)  # X, Z, Y
    assert plan.configuration("2d").training.rotation_deg == 15
    assert plan.configuration("3d_fullres").training.rotate_in_plane


def test_concentric_labels_may_turn(make_fingerprint: Callable[..., Fingerprint]) -> None:
    # always 3 mm apart, but each 20 mm long
    centres = [(50.0, 50.0, 50.0), (50.0, 53.0, 50.0)]
    made = make_fingerprint([(20, 200, 200)] * 8, [(3.0, 1.0, 1.0)] * 8, ("white", "grey"), centroids=centres)
    assert make_plan(made, Recipe()).configuration("2d").training.rotation_deg == 180


@pytest.mark.parametrize(("mirror", "axes", "rotation"), [("none", (), 15.0), ("all", (0, 1), 180.0)])
def test_a_recipe_may_decide(lumbar: Fingerprint, mirror: str, axes: tuple[int, ...], rotation: float) -> None:
    training = make_plan(lumbar, Recipe(mirror=mirror)).configuration("2d").training
    assert (training.mirror_axes, training.rotation_deg) == (axes, rotation)


def test_patches_are_shifted_where_views_show_what_lies_beyond_the_levels(lumbar: Fingerprint) -> None:
    training = make_plan(lumbar, Recipe()).configuration("2d").training
    assert training.shift == 0.0
    # 60 mm more of the image than the column of levels takes
    taller = [(case.shape[0] + 60, *case.shape[1:]) for case in lumbar.cases]
    cases = [replace(case, shape=shape, cropped_shape=shape) for case, shape in zip(lumbar.cases, taller, strict=True)]
    wide = replace(lumbar, cases=tuple(cases))
    assert make_plan(wide, Recipe()).configuration("2d").training.shift == 0.15
    assert make_plan(wide, Recipe(shift=0.05)).configuration("2d").training.shift == 0.05


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "name", "rotation_deg", "said"),
    [
        ((64, 64, 64), (1.0, 1.0, 1.0), "3d_fullres", 30.0, "about every axis of a volume"),
        ((16, 128, 128), (4.0, 1.0, 1.0), "3d_fullres", 180.0, "a full turn shows nothing else"),
        ((16, 128, 128), (4.0, 1.0, 1.0), "2d", 180.0, "a full turn shows nothing else"),
        ((16, 192, 96), (4.0, 1.0, 1.0), "2d", 15.0, "more than 1.5 times longer than wide"),
    ],
)
def test_mirrored_along_every_axis_the_reason_says_how_far_the_plan_turns(
    make_fingerprint: Callable[..., Fingerprint],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    name: str,
    rotation_deg: float,
    said: str,
) -> None:
    plan = make_plan(make_fingerprint([shape] * 4, [spacing_mm] * 4), Recipe(mirror="all"))
    assert plan.configuration(name).training.rotation_deg == rotation_deg
    reason = plan.reasons[f"{name}.training.rotation_deg"]
    assert said in reason
    assert ("full turn" in reason) == (rotation_deg == 180.0)


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
    training = planned_training(Recipe(unit="component"), (64, 64), (free, free), View(False, "none"), Scans(1, ()))
    assert set(training.keyed) == set(vars(training.value)) - {"budget_s"}
    assert (training.value.mirror_axes, training.value.rotation_deg, training.value.shift) == ((0, 1), 180.0, 0.0)
    assert "component (lesion)" in training.keyed["foreground_unit"]


def test_the_fewer_kinds_of_scan_the_more_contrasts_are_made_up() -> None:
    shares = [planned_random_contrast(Recipe(), Scans(kinds, ())).value for kinds in (1, 2, 3, 40)]
    assert shares == [0.25, 0.12, 0.1, 0.1]
    assert "1 kind of scan" in planned_random_contrast(Recipe(), Scans(1, ())).why
    lesions = planned_random_contrast(Recipe(), Scans(1, ("lesion",)))
    assert lesions.value == 0 and lesions.why.startswith("lesion: ")
    assert planned_random_contrast(Recipe(), Scans(1, (), channels=("ct",))).value == 0
    assert planned_random_contrast(Recipe(random_contrast=0.7), Scans(1, ("lesion",))).value == 0.7
