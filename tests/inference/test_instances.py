"""Vertebrae that touch are told apart, and one that has two names stays one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from autospine.inference.instances import Usual, cut_apart, number_levels, separate

USUAL = Usual(extent_mm=24.0, step_mm=32.0)
SHAPE = (12, 140, 40)
"""Slices, rows from below, columns; of 4 x 1 x 1 mm."""
SPACING = (4.0, 1.0, 1.0)
Mask = npt.NDArray[np.bool_]


def body(low: int, tilt: float = 0.0, high: int | None = None) -> Mask:
    """A vertebra of 24 x 30 mm from row `low` on, over ten slices; `tilt` in rows a column."""
    _, row, column = np.indices(SHAPE)
    along = row - low - tilt * (column - 20)
    inside: Mask = (along >= 0) & (along < (24 if high is None else high - low)) & (abs(column - 20) < 15)
    inside[[0, -1]] = False
    return inside


def cut(mask: Mask, named: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.int32]:
    numbers: npt.NDArray[np.int32] = ndimage.label(mask)[0]
    cut_apart(numbers, np.zeros(SHAPE, np.uint8) if named is None else named, 1, SPACING, USUAL)
    assert ((numbers > 0) == mask).all()
    return numbers


def parts(numbers: npt.NDArray[np.int32], *bodies: Mask) -> list[float]:
    """Share of each body that its most frequent number has; no number is that of two."""
    counts = [np.bincount(numbers[one], minlength=int(numbers.max()) + 1)[1:] for one in bodies]
    assert len({int(count.argmax()) for count in counts}) == len(bodies)
    return [float(count.max() / count.sum()) for count in counts]


@pytest.mark.parametrize("tilt", [0.0, 0.5])
def test_a_bridge_is_cut_where_it_is_thin(tilt: float) -> None:
    lower, upper = body(20, tilt), body(52, tilt)
    bridge = np.zeros(SHAPE, bool)
    bridge[4:8, 44:52, 16:26] = True
    numbers = cut(lower | upper | bridge)
    assert min(parts(numbers, lower, upper)) > 0.95


def test_vertebrae_without_a_neck_are_cut_by_what_the_network_calls_them() -> None:
    three = [body(10), body(34), body(58)]
    named = np.zeros(SHAPE, np.uint8)
    for level, one in enumerate(three):
        named[one] = level
    assert min(parts(cut(three[0] | three[1] | three[2], named), *three)) == 1


def test_vertebrae_without_a_neck_and_with_one_name_are_cut_evenly() -> None:
    two = [body(10), body(34)]
    assert min(parts(cut(two[0] | two[1]), *two)) > 0.8


def test_one_vertebra_with_two_names_stays_one() -> None:
    one = body(30)
    for rows, slices in ((slice(42, None), slice(None)), (slice(None), slice(6, None))):
        named = np.zeros(SHAPE, np.uint8)
        named[slices, rows] = 1
        assert len(np.unique(cut(one, named))) == 2


def test_parts_of_names_that_are_too_short_are_joined() -> None:
    lower, upper = body(20), body(52)
    bridge = np.zeros(SHAPE, bool)
    bridge[4:8, 44:52, 16:26] = True
    named = np.zeros(SHAPE, np.uint8)
    named[:, 36:] = 1  # the upper part of the lower one is called as the one above
    named[:, 52:] = 2
    assert min(parts(cut(lower | upper | bridge, named), lower, upper)) > 0.9


def test_large_pieces_are_cut_at_a_coarser_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autospine.inference.instances.MOST_VOXELS", 4000)
    lower, upper = body(20), body(52)
    bridge = np.zeros(SHAPE, bool)
    bridge[4:8, 44:52, 16:26] = True
    assert min(parts(cut(lower | upper | bridge), lower, upper)) > 0.9


def test_a_short_piece_is_left_alone_and_nothing_is_nothing() -> None:
    assert len(np.unique(cut(body(30)))) == 2
    assert not cut(np.zeros(SHAPE, bool)).any()


def test_merged_vertebrae_are_numbered_from_below_whatever_their_distance() -> None:
    bodies = [body(low) for low in (10, 42, 74, 106)]
    bridge = np.zeros(SHAPE, bool)
    bridge[4:8, 34:42, 16:26] = True
    numbers = separate(bodies[0] | bodies[1] | bodies[2] | bodies[3] | bridge, 1, SPACING)
    for number, one in enumerate(bodies, 1):
        assert np.mean(numbers[one] == number) > 0.95
    assert not separate(np.zeros(SHAPE, bool), 1, SPACING).any()


def test_vertebrae_keep_the_numbers_that_they_were_found_by() -> None:
    """Two touch and are both the second level; the last one is beyond the levels that the model knows."""
    bodies = [body(10), body(34), body(58), body(90)]
    found, labels = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint8)
    for number, (one, index) in enumerate(zip(bodies, (1, 2, 2, 0), strict=True), 1):
        found[one], labels[one] = number, index
    labels[found == 1] = 0
    labels[2:10, 12:30, 8:30] = 1  # as interpolation leaves it, at its edges otherwise than it was found
    numbers = number_levels(labels, found, (1, 2, 2, None), (1, 2, 3))
    assert (numbers[labels == 1] == 1).all()
    for number, one in list(enumerate(bodies, 1))[1:]:
        assert (numbers[one] == number).all()
    assert ((numbers > 0) == ((labels > 0) | bodies[3])).all()


def test_a_sliver_of_a_level_that_no_vertebra_has_goes_with_the_nearest() -> None:
    found, labels = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint8)
    for number, one in enumerate((body(10), body(60)), 1):
        found[one], labels[one] = number, number
    labels[2, 58, 8:30] = 3
    assert (number_levels(labels, found, (1, 2), (1, 2, 3))[labels == 3] == 2).all()
    assert not number_levels(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint16), (), (1, 2)).any()
