from __future__ import annotations

from autospine.planning.measured.sides import lone_sides, sided_pairs, swapping_classes


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
