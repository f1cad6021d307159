"""Comparisons by hand: what is paired, what carries a difference, and which structures arms disagree on."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autospine.evaluation.comparison import Comparison
from autospine.evaluation.metrics import METRICS

Values = dict[str, float | None]


def case(name: str, dice: Values, hd95_mm: Values | None = None, absent: tuple[str, ...] = ()) -> dict[str, Any]:
    """A case as metrics.json has it: 100 voxels of each class in the reference, none of those that are `absent`."""
    classes = {}
    for label, value in dice.items():
        there = 0 if label in absent else 100
        one: dict[str, Any] = dict.fromkeys(METRICS, value) | {"reference_voxels": there}
        one["predicted_voxels"] = 0 if value is None or (there and not value) else 90
        one["hd95_mm"] = None if hd95_mm is None else hd95_mm[label]
        classes[label] = one
    return {"case": name, "classes": classes}


def compared(tables: dict[str, list[dict[str, Any]]], **more: Any) -> Comparison:
    classes = tuple(next(iter(tables.values()))[0]["classes"])
    return Comparison(tables, classes, **({"subjects": {}} | more))


def test_differences_are_paired_over_subjects() -> None:
    """a1 and a2 are one person: (0.1 + 0.3) / 2 = 0.2 there, 0.1 in b."""
    base = [case("a1", {"x": 0.5}), case("a2", {"x": 0.5}), case("b", {"x": 0.6})]
    new = [case("a1", {"x": 0.6}), case("a2", {"x": 0.8}), case("b", {"x": 0.7})]
    found = compared({"base": base, "new": new}, subjects={"a1": "a", "a2": "a", "b": "b"})
    assert found.by_subject.subjects == ("a", "b") and found.by_subject.cases == 3
    assert found.means("new") - found.means("base") == pytest.approx([0.2, 0.1])
    (one,) = found.overall
    assert one.difference.mean == pytest.approx(0.15) and one.difference.subjects == 2
    assert found.by_class["x", "new"].difference.mean == pytest.approx(0.15)
    assert found.mean("base").mean == pytest.approx((0.5 + 0.6) / 2)


def test_a_distance_that_one_arm_lacks_counts_in_none() -> None:
    """`new` misses y in a: left with x alone it would look nearer by (1 + 9) / 2 - 2."""
    base = [
        case("a", {"x": 0.9, "y": 0.3}, {"x": 1.0, "y": 9.0}),
        case("b", {"x": 0.9, "y": 0.9}, {"x": 1.0, "y": 1.0}),
    ]
    new = [
        case("a", {"x": 0.8, "y": 0.0}, {"x": 2.0, "y": None}),
        case("b", {"x": 0.9, "y": 0.9}, {"x": 3.0, "y": 1.0}),
    ]
    found = compared({"base": base, "new": new}, metric="hd95_mm")
    assert found.means("base").tolist() == [1.0, 1.0]
    assert found.means("new").tolist() == [2.0, 2.0]
    assert found.by_class["y", "new"].difference.subjects == 1


def test_what_carries_a_difference() -> None:
    """Gains of 0.30, 0.20, 0.10 beside four losses of 0.05: without the three it is -0.05, and without two none."""
    gains = {"a": 0.10, "b": 0.30, "c": 0.20, "d": -0.05, "e": -0.05, "f": -0.05, "g": -0.05}
    base = [case(name, {"x": 0.5}) for name in gains]
    new = [case(name, {"x": 0.5 + gain}) for name, gain in gains.items()]
    (carried,) = compared({"base": base, "new": new}).carried
    assert [subject for subject, _ in carried.ordered] == ["b", "c", "a", "d", "e", "f", "g"]
    assert carried.without is not None and carried.without.difference.mean == pytest.approx(-0.05)
    assert carried.without.p == pytest.approx(2 / 2**4)
    # without b: 0.2 + 0.1 - 0.2 > 0; without b and c: 0.1 - 0.2 < 0
    assert carried.turned_by == 2
    (worse,) = compared({"base": new, "new": base}).carried
    assert worse.ordered[0] == ("b", pytest.approx(-0.3)) and worse.turned_by == 2


def test_a_difference_that_all_subjects_share_is_turned_by_none() -> None:
    base = [case(name, {"x": 0.5}) for name in "abc"]
    new = [case(name, {"x": 0.6}) for name in "abc"]
    (carried,) = compared({"base": base, "new": new}).carried
    assert carried.turned_by is None and carried.without is None


def test_structures_that_one_finds_and_another_misses() -> None:
    """A tenth of the voxels is a find, less is none; where nothing is, any voxel is one, and a false one."""
    base = [case("a", {"x": 0.8, "y": 0.0, "z": 0.1}), case("b", {"x": 0.8, "y": None, "z": 0.5}, absent=("y",))]
    new = [case("a", {"x": 0.7, "y": 0.4, "z": 0.09}), case("b", {"x": 0.8, "y": 0.0, "z": 0.5}, absent=("y",))]
    found = compared({"base": base, "new": new}).disputed
    assert [(one.case, one.label, one.finding, one.missing) for one in found] == [
        ("a", "y", ("new",), ("base",)),
        ("a", "z", ("base",), ("new",)),
        ("b", "y", ("new",), ("base",)),
    ]
    assert [one.reference_voxels for one in found] == [100, 100, 0]


def test_a_false_find_counts_against_it() -> None:
    base, new = [case("a", {"y": None}, absent=("y",))], [case("a", {"y": 0.0}, absent=("y",))]
    (one,) = compared({"base": base, "new": new}).overall
    assert one.difference.mean == -1.0


def test_three_arms_are_corrected_together() -> None:
    """Six subjects to one side: p = 2 / 2^6, twice that after Holm's correction over two comparisons."""
    base = [case(name, {"x": 0.5}) for name in "abcdef"]
    new = [case(name, {"x": 0.5 + (place + 1) / 100}) for place, name in enumerate("abcdef")]
    found = compared({"base": base, "one": new, "two": new})
    assert [item.arm for item in found.overall] == ["one", "two"]
    assert [item.corrected for item in found.overall] == pytest.approx([4 / 64] * 2)
    assert not math.isnan(found.mean("two").low)
