from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.planning.decide.planner import make_plan
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.plan_file import plan_from_toml, plan_to_toml
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.anatomy import (
    longest_chain,
    planned_levels,
    read_anatomy,
    read_levels,
    read_patch_view,
    read_view,
    sided_pairs,
)
from autospine.planning.measured.fingerprint import Fingerprint


def test_levels_are_ordered_along_the_body_only(lumbar: Fingerprint) -> None:
    along, front, side = read_anatomy(lumbar)
    assert along.directed
    assert "from inferior to superior L5 < L4 < L3 < L2 < L1 in 37 of 37 cases" in along.reason
    assert not front.directed  # 8 mm from L5 to L1, far less than half of their 35 mm
    assert not side.directed
    plan = make_plan(lumbar, Recipe())
    assert plan.configuration("2d").training.mirror_axes == (1,)  # patch axes Z, Y
    assert plan.configuration("3d_fullres").training.mirror_axes == (0, 2)  # X, Z, Y
    assert plan.configuration("2d").training.rotation_deg == 15
    assert plan.configuration("3d_fullres").training.rotate_in_plane


def test_concentric_labels_are_not_ordered(make_fingerprint: Callable[..., Fingerprint]) -> None:
    # always 3 mm apart, but each 20 mm long
    centres = [(50.0, 50.0, 50.0), (50.0, 53.0, 50.0)]
    made = make_fingerprint([(20, 200, 200)] * 8, [(3.0, 1.0, 1.0)] * 8, ("white", "grey"), centroids=centres)
    assert not any(axis.directed for axis in read_anatomy(made))
    assert make_plan(made, Recipe()).configuration("2d").training.rotation_deg == 180


def test_one_odd_case_in_twenty_is_let_pass(lumbar: Fingerprint) -> None:
    odd = tuple(replace(case, class_centroids_mm=case.class_centroids_mm[::-1]) for case in lumbar.cases[:1])
    assert longest_chain((*odd, *lumbar.cases[:19]), 5, 0) == ((0, 1, 2, 3, 4), 19, 20)
    assert longest_chain((*odd, *lumbar.cases[:18]), 5, 0) == ((), 0, 0)  # 18 of 19 are fewer than 95 %


def test_two_cases_must_show_an_order(lumbar: Fingerprint) -> None:
    without = tuple(replace(case, class_centroids_mm=(None, *case.class_centroids_mm[1:])) for case in lumbar.cases[1:])
    chain, agree, having = longest_chain((lumbar.cases[0], *without), 5, 0)
    assert (chain, agree, having) == ((1, 2, 3, 4), 37, 37)  # L5 beside L4 is seen once


def test_sides_are_found_by_name() -> None:
    names = ("right_ES", "left_ES", "kidney L", "kidney R", "leftFacet", "rightFacet", "L5", "left_alone")
    assert sided_pairs(names) == (("left_ES", "right_ES"), ("kidney L", "kidney R"), ("leftFacet", "rightFacet"))


@pytest.mark.parametrize(("mirror", "axes", "rotation"), [("none", (), 15.0), ("all", (0, 1), 180.0)])
def test_a_recipe_may_decide(lumbar: Fingerprint, mirror: str, axes: tuple[int, ...], rotation: float) -> None:
    training = make_plan(lumbar, Recipe(mirror=mirror)).configuration("2d").training
    assert (training.mirror_axes, training.rotation_deg) == (axes, rotation)


def test_vertebrae_are_levels_and_nested_or_paired_labels_are_not(make_fingerprint: Callable[..., Fingerprint]) -> None:
    grid = ([(20, 200, 90)] * 4, [(4.0, 1.0, 1.0)] * 4)
    names = ("L1", "L2", "L3", "L4")

    def column(places: Sequence[float | None], extent: float) -> Fingerprint:
        fingerprint = make_fingerprint(*grid, names, voxels=(1000,) * 4)
        centroids = tuple(None if place is None else (place, 10.0, 10.0) for place in places)
        extents = tuple((extent if place is not None else 0.0, 30.0, 30.0) for place in places)
        cases = [replace(case, class_centroids_mm=centroids, class_extents_mm=extents) for case in fingerprint.cases]
        return replace(fingerprint, cases=tuple(cases))

    assert read_levels(column((130.0, 96.0, 64.0, 30.0), 26.0)) == (0, (3, 2, 1, 0))
    assert read_levels(column((130.0, 96.0, 64.0, 30.0), 60.0)) is None  # they overlap along the axis
    assert read_levels(column((230.0, 96.0, 64.0, 30.0), 26.0)) is None  # one stands far off
    assert read_levels(column((50.0, 50.0, 50.0, 50.0), 26.0)) is None  # no order at all
    two = make_fingerprint(*grid, ("anterior", "posterior"), voxels=(1000, 1000))
    assert read_levels(two) is None


def test_levels_say_how_often_a_view_shows_their_ends(lumbar: Fingerprint) -> None:
    levels = planned_levels(lumbar)
    assert levels == LevelsPlan((1, 2, 3, 4, 5), 0, 1.0, (0.98, 0.98))
    above = [replace(case, class_centroids_mm=(None, *case.class_centroids_mm[1:])) for case in lumbar.cases[:10]]
    some = planned_levels(replace(lumbar, cases=(*above, *lumbar.cases[10:])))
    assert some is not None
    assert some.ends_seen == (round(27.5 / 38, 4), 0.98)


def test_levels_can_be_counted_where_views_show_what_lies_beyond_them(lumbar: Fingerprint) -> None:
    near = read_view(lumbar)
    assert (near.countable, near.reason) == (False, "0 of 37 cases show 2 levels or more beyond an end of the column")
    training = make_plan(lumbar, Recipe()).configuration("2d").training
    assert training.shift == 0.0
    along = lumbar.cases[0].shape[0]
    taller = [(along + 60, *case.shape[1:]) for case in lumbar.cases]
    padded = [replace(case, shape=shape) for case, shape in zip(lumbar.cases, taller, strict=True)]
    assert not read_view(replace(lumbar, cases=tuple(padded))).countable  # black shows nothing
    cases = tuple(replace(case, cropped_shape=case.shape) for case in padded)
    wide = replace(lumbar, cases=cases)
    assert read_view(wide).countable
    assert read_patch_view(wide, (0, 1)).countable
    assert read_patch_view(wide, (1, 2)).reason == "a patch lies across the column"
    assert make_plan(wide, Recipe()).configuration("2d").training.shift == 0.15
    assert make_plan(wide, Recipe(shift=0.05)).configuration("2d").training.shift == 0.05
    few = replace(lumbar, cases=(*wide.cases[:30], *lumbar.cases[30:]))
    assert not read_view(few).countable


def test_labels_that_are_no_levels_are_not_counted(make_fingerprint: Callable[..., Fingerprint]) -> None:
    view = read_view(
        make_fingerprint([(20, 200, 90)] * 4, [(4.0, 1.0, 1.0)] * 4, ("white", "grey"), voxels=(1000, 300))
    )
    assert (view.countable, view.reason) == (False, "the labels are no levels of a column")


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
