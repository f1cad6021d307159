from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.measured.anatomy import Anatomy, lone_sides, sided_pairs, swapping_classes
from autospine.planning.measured.fingerprint import Fingerprint


def test_levels_are_ordered_along_the_body_only(lumbar: Fingerprint) -> None:
    along, front, side = Anatomy.of(lumbar).axes
    assert along.directed
    assert "from inferior to superior L5 < L4 < L3 < L2 < L1 in 37 of 37 cases" in along.reason
    assert not front.directed  # 8 mm from L5 to L1, far less than half of their 35 mm
    assert not side.directed


def test_concentric_labels_are_not_ordered(make_fingerprint: Callable[..., Fingerprint]) -> None:
    # always 3 mm apart, but each 20 mm long
    centres = [(50.0, 50.0, 50.0), (50.0, 53.0, 50.0)]
    made = make_fingerprint([(20, 200, 200)] * 8, [(3.0, 1.0, 1.0)] * 8, ("white", "grey"), centroids=centres)
    assert not any(axis.directed for axis in Anatomy.of(made).axes)


def test_levels_can_be_counted_where_views_show_what_lies_beyond_them(lumbar: Fingerprint) -> None:
    near = Anatomy.of(lumbar).view
    assert (near.countable, near.reason) == (False, "0 of 37 cases show 2 levels or more beyond an end of the column")
    along = lumbar.cases[0].shape[0]
    taller = [(along + 60, *case.shape[1:]) for case in lumbar.cases]
    padded = [replace(case, shape=shape) for case, shape in zip(lumbar.cases, taller, strict=True)]
    assert not Anatomy.of(replace(lumbar, cases=tuple(padded))).view.countable  # black shows nothing
    cases = tuple(replace(case, cropped_shape=case.shape) for case in padded)
    wide = replace(lumbar, cases=cases)
    assert Anatomy.of(wide).view.countable
    assert Anatomy.of(wide).view_of((0, 1)).countable
    assert Anatomy.of(wide).view_of((1, 2)).reason == "a patch lies across the column"
    few = replace(lumbar, cases=(*wide.cases[:30], *lumbar.cases[30:]))
    assert not Anatomy.of(few).view.countable


def test_sides_are_found_by_name() -> None:
    names = ("right_ES", "left_ES", "kidney L", "kidney R", "leftFacet", "rightFacet", "L5", "left_alone")
    assert sided_pairs(names) == (("left_ES", "right_ES"), ("kidney L", "kidney R"), ("leftFacet", "rightFacet"))


def test_a_side_without_a_partner_is_told() -> None:
    assert lone_sides(("left_a", "right_a", "left_b", "L5"), (("left_a", "right_a"),)) == ["left_b"]


def test_classes_swap_where_their_order_stays_the_same() -> None:
    names, pairs = ("right_a", "cord", "left_a"), (("left_a", "right_a"),)
    assert swapping_classes(names, pairs, {(0, 1), (1, 2), (0, 2)}) == ((3, 1),)
    # mirrored and swapped, cord < spleen becomes spleen < cord
    assert swapping_classes(("right_a", "left_a", "cord", "spleen"), pairs, {(2, 3)}) == ()
    assert swapping_classes(("right_a", "left_a", "left_b"), pairs, set()) == ()
