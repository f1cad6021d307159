"""Components and holes in small volumes, each voxel of which is known by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from autospine.data.structure import Region
from autospine.inference.postprocessing import Rules, postprocessed
from autospine.planning.document.data import DataPlan, IntensityPlan, LevelsPlan
from autospine.planning.document.postprocessing import Postprocessing, Step, StepKind

ONES = (1.0, 1.0, 1.0)


def data_of(count: int, **more: Any) -> DataPlan:
    """`count` classes called c1, c2, ..., with values on disk that are none of their indices."""
    labels = tuple((f"c{index}", 10 * index) for index in range(1, count + 1))
    return DataPlan("toy", ("T2",), (IntensityPlan(0.0, 1.0, 0.0, 1.0),), labels, **more)


def volume(*rows: str) -> np.ndarray:
    """One slice, `.` for background; digits are classes."""
    return np.array([[[0 if one == "." else int(one) for one in row] for row in rows]], np.uint8)


def after(labels: np.ndarray, data: DataPlan, *steps: Step, spacing_mm: tuple[float, ...] = ONES) -> np.ndarray:
    before = labels.copy()
    made = postprocessed(labels, Postprocessing(steps), data, spacing_mm)
    np.testing.assert_array_equal(labels, before)  # what is given stays as it is
    return made


def same(found: np.ndarray, *rows: str) -> None:
    np.testing.assert_array_equal(found, volume(*rows))


def test_the_largest_component_stays_and_corners_connect() -> None:
    labels = volume("11..2", "..1..", "....2", "1...2", "1....")
    same(after(labels, data_of(2), Step("largest", "c1")), "11..2", "..1..", "....2", "....2", ".....")
    same(after(labels, data_of(2), Step("largest", "c2")), "11...", "..1..", "....2", "1...2", "1....")


@pytest.mark.parametrize(
    ("volume_mm3", "spacing_mm", "kept"),
    [(2.0, ONES, 2), (2.1, ONES, 1), (3.0, ONES, 1), (3.1, ONES, 0), (0.6, (2.0, 0.1, 1.0), 1), (0.3, (0.1, 1, 1), 1)],
)
def test_components_below_a_volume_go_and_one_as_large_stays(
    volume_mm3: float, spacing_mm: tuple[float, float, float], kept: int
) -> None:
    """Of two and three voxels; 3 x 0.2 mm3 are 0.6 mm3, and 3 x 0.1 mm3 are 0.3, whatever the last bit says."""
    found = after(volume("111..11"), data_of(1), Step("above", "c1", volume_mm3), spacing_mm=spacing_mm)
    assert ndimage.label(found)[1] == kept


def test_a_whole_structure_may_be_too_small() -> None:
    same(after(volume("11..2222"), data_of(2), Step("above", "c1", 3.0)), "....2222")


def test_all_structures_together_are_one() -> None:
    """Class 2 alone would keep its larger part on the right, which is no part of the whole."""
    labels = volume("1112....", "......22", "......22")
    same(after(labels, data_of(2), Step("above", None, 4.0)), "1112....", "......22", "......22")
    same(after(labels, data_of(2), Step("above", None, 5.0)), "........", "........", "........")
    same(after(volume("11122...", "......22"), data_of(2), Step("largest")), "11122...", "........")


def test_holes_are_filled_where_they_are_closed_on_all_faces() -> None:
    ring = ("11111", "1...1", "1.2.1", "1...1", "11111")
    same(after(volume(*ring), data_of(2), Step("fill", "c1")), "11111", "11111", "11211", "11111", "11111")
    open_at_a_face = ("11.11", "1...1", "11111")
    same(after(volume(*open_at_a_face), data_of(1), Step("fill", "c1")), *open_at_a_face)
    by_a_corner = (".11", "1.1", "11.")
    same(after(volume(*by_a_corner), data_of(1), Step("fill", "c1")), ".11", "111", "11.")


def test_in_a_volume_a_hole_is_closed_by_the_slices_beside_it() -> None:
    solid = np.ones((3, 4, 5), np.uint8)
    solid[1, 1, 2] = 0
    assert after(solid, data_of(1), Step("fill", "c1")).all()
    solid[0, 1, 2] = 0  # open at the end of the image, where nobody knows what follows
    np.testing.assert_array_equal(after(solid, data_of(1), Step("fill", "c1")), solid)


def test_steps_follow_each_other() -> None:
    """A crumb in a hole is a component of its own until the hole is filled."""
    labels = volume("11111", "1...1", "1.1.1", "1...1", "11111")
    filled_first = after(labels, data_of(1), Step("fill", "c1"), Step("above", "c1", 2.0))
    assert filled_first.all()
    removed_first = after(labels, data_of(1), Step("above", "c1", 2.0), Step("fill", "c1"))
    assert removed_first.all()


def test_what_leaves_a_region_stays_in_those_around_it() -> None:
    """whole 1, 2, 3 written 1; core 2, 3 written 2; deepest 3 written 3: one inside the other."""
    regions = (Region("whole", (10, 20, 30), 10), Region("core", (20, 30), 20), Region("deepest", (30,), 30))
    data = data_of(3, regions=regions)
    labels = volume("1221112.", "1331113.", "........", "......1.")
    same(after(labels, data, Step("largest", "core")), "1221111.", "1331111.", "........", "......1.")
    same(after(labels, data, Step("largest", "deepest")), "1221112.", "1331112.", "........", "......1.")
    same(after(labels, data, Step("largest", "whole")), "1221112.", "1331113.", "........", "........")


def test_a_hole_of_a_region_is_filled_from_those_around_it() -> None:
    regions = (Region("whole", (10, 20), 10), Region("core", (20,), 20))
    data = data_of(2, regions=regions)
    labels = volume("11111", "12221", "12121", "12221", "11111")
    same(after(labels, data, Step("fill", "core")), "11111", "12221", "12221", "12221", "11111")
    empty = volume("11111", "1...1", "1.2.1", "1...1", "11111")
    same(after(empty, data, Step("fill", "whole")), "11111", "11111", "11211", "11111", "11111")


def test_regions_beside_each_other_are_not_filled_into() -> None:
    data = data_of(2, regions=(Region("one", (10,), 10), Region("other", (20,), 20)))
    labels = volume("111", "121", "111")
    same(after(labels, data, Step("fill", "one")), "111", "121", "111")


def test_a_piece_of_a_column_belongs_to_one_level() -> None:
    """A crumb of c1 in the body of c2 becomes c2 and no bite; the one that touches nothing becomes background."""
    data = data_of(3, levels=LevelsPlan((1, 2), 1, 1.2, (0.5, 0.5)))
    labels = volume("111....", "111....", ".......", "222....", "212..1.", "222....")
    expected = ("111....", "111....", ".......", "222....", "222....", "222....")
    same(after(labels, data, Step("largest", "c1")), *expected)
    same(after(labels, data, Step("above", "c1", 2.0)), *expected)
    # of the third class, which is no level, it stays a hole
    without = data_of(3)
    same(after(labels, without, Step("largest", "c1")), *expected[:4], "2.2....", "222....")


def test_rules_of_all_together_take_everything_away() -> None:
    rules = Rules.of(data_of(2))
    assert rules.names == ("c1", "c2", None)
    np.testing.assert_array_equal(rules.removed, [[0, 0, 2], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(rules.filled, [[1, 1, 2], [2, 1, 2], [0, 1, 2]])


@pytest.mark.parametrize("kind", ["largest", "above", "fill"])
def test_nothing_there_is_left_alone(kind: StepKind) -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    assert not after(labels, data_of(1), Step(kind, "c1", 5.0 if kind == "above" else None)).any()


def test_axes_may_be_turned() -> None:
    """Components and holes know no direction: what is done to a turned volume is the same, turned."""
    labels = (ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(9, 14, 11)), 1.2) > 0.05).astype(np.uint8)
    steps = (Step("fill", "c1"), Step("above", "c1", 12.0))
    expected = after(labels, data_of(1), *steps, spacing_mm=(1.0, 2.0, 0.5))
    turned = np.flip(labels.transpose(2, 0, 1), 1)
    found = after(np.ascontiguousarray(turned), data_of(1), *steps, spacing_mm=(0.5, 1.0, 2.0))
    np.testing.assert_array_equal(np.flip(found, 1).transpose(1, 2, 0), expected)
    assert expected.sum() != labels.sum()
