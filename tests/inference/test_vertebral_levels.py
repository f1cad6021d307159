"""Pieces of a segmentation become the classes of a chain, in its order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from autospine.inference.vertebral_levels import Chain
from autospine.inference.vertebral_levels import agree_on_levels as agree
from autospine.planning.document.data import LevelsPlan

SHAPE = (5, 60, 20)
UNKNOWN = (0.5, 0.5)
"""Ends that half of the cases show say nothing."""
CHAIN = LevelsPlan((4, 3, 2, 1), 1, 1.5, UNKNOWN)
"""From below to above, as levels often are numbered from above."""


def column(*blocks: tuple[int, int, dict[int, float]]) -> npt.NDArray[np.float32]:
    """Logits of blocks (first row, end, class -> share of the slices in which the network says so)."""
    labels = np.zeros(SHAPE, np.int64)
    for low, high, said in blocks:
        first = 0
        for value, share in said.items():
            last = first + round(share * SHAPE[0])
            labels[first:last, low:high, 5:15] = value
            first = last
    logits = np.full((5, *SHAPE), -2.0, np.float32)
    np.put_along_axis(logits, labels[None], 3.0, axis=0)
    return logits


def agree_on_levels(logits: npt.NDArray[np.float32], levels: LevelsPlan, axis: int) -> npt.NDArray[np.float32]:
    return agree(logits, Chain(levels, axis, (1.0, 1.0, 1.0)))


def seen(logits: npt.NDArray[np.float32], *rows: int) -> list[set[int]]:
    """Classes within rows of the column."""
    winners = logits.argmax(0)
    return [set(np.unique(winners[:, row, 5:15]).tolist()) for row in rows]


def test_a_vertebra_of_two_levels_becomes_one() -> None:
    logits = column((2, 10, {4: 1}), (14, 22, {3: 0.6, 4: 0.4}), (26, 34, {2: 1}), (38, 46, {1: 1}))
    before = logits.copy()
    assert seen(logits, 5, 18, 30, 42) == [{4}, {3, 4}, {2}, {1}]
    agreed = agree_on_levels(logits, CHAIN, 1)
    assert agreed is logits
    assert seen(agreed, 5, 18, 30, 42) == [{4}, {3}, {2}, {1}]
    np.testing.assert_array_equal(agreed.argmax(0) > 0, before.argmax(0) > 0)  # what is spine stays spine


def test_the_many_overrule_one_that_is_off() -> None:
    logits = column((2, 10, {4: 1}), (14, 22, {3: 1}), (26, 34, {3: 0.8, 2: 0.2}), (38, 46, {1: 1}))
    assert seen(agree_on_levels(logits, CHAIN, 1), 5, 18, 30, 42) == [{4}, {3}, {2}, {1}]


def test_a_vertebra_that_was_missed_keeps_its_place_and_one_beyond_the_chain_is_none() -> None:
    missed = column((2, 10, {4: 1}), (14, 22, {3: 1}), (38, 46, {1: 0.6, 2: 0.4}))
    assert seen(agree_on_levels(missed, CHAIN, 1), 5, 18, 30, 42) == [{4}, {3}, {0}, {1}]
    two = column((2, 10, {4: 1}), (26, 34, {2: 0.6, 3: 0.4}))
    assert seen(agree_on_levels(two, CHAIN, 1), 5, 30) == [{4}, {2}]
    beyond = column((2, 10, {4: 1}), (14, 22, {3: 1}), (26, 34, {2: 1}), (38, 46, {1: 1}), (50, 58, {1: 1}))
    assert seen(agree_on_levels(beyond, CHAIN, 1), 5, 18, 30, 42, 54) == [{4}, {3}, {2}, {1}, {0}]


def test_crumbs_take_the_level_beside_them_and_touching_vertebrae_stay() -> None:
    crumbs = column((2, 10, {4: 1}), (14, 22, {3: 1}), (26, 34, {2: 1}), (38, 46, {1: 1}))
    crumbs[:, 0, 30, 18] = (-2, 3, -2, -2, -2)  # a voxel of class 1 beside class 2
    agreed = agree_on_levels(crumbs, CHAIN, 1)
    assert agreed[:, 0, 30, 18].argmax() == 2
    touching = column((2, 10, {4: 1}), (14, 22, {3: 0.6, 4: 0.4}), (26, 36, {2: 1}), (36, 46, {1: 1}))
    agreed = agree_on_levels(touching, CHAIN, 1)
    assert seen(agreed, 5, 18, 30, 42) == [{4}, {3}, {2}, {1}]


def test_without_a_vertebra_nothing_changes_and_one_alone_gets_one_level() -> None:
    nothing = column()
    np.testing.assert_array_equal(agree_on_levels(nothing.copy(), CHAIN, 1), nothing)
    assert seen(agree_on_levels(column((2, 10, {3: 1})), CHAIN, 1), 5) == [{3}]


def test_classes_off_the_chain_are_left_alone() -> None:
    logits = column((2, 10, {4: 1}), (14, 22, {3: 0.6, 4: 0.4}), (26, 34, {2: 1}), (38, 46, {1: 1}))
    agreed = agree_on_levels(logits.copy(), LevelsPlan((4, 3, 2), 1, 1.5, UNKNOWN), 1)
    assert seen(agreed, 5, 18, 30, 42) == [{4}, {3}, {2}, {1}]
    np.testing.assert_array_equal(agreed[[0, 1]], logits[[0, 1]])


def test_a_column_one_level_off_is_put_right_by_what_the_view_shows() -> None:
    """All four levels are there and the network names them one too high, with doubts."""
    off = column((14, 22, {4: 0.4, 3: 0.6}), (26, 34, {2: 0.8, 3: 0.2}), (38, 46, {1: 1}), (50, 58, {1: 1}))
    always = replace(CHAIN, ends_seen=(0.98, 0.98))  # there is room for another one below, and it would be seen
    assert seen(agree_on_levels(off / 2, always, 1), 17, 30, 42, 54) == [{4}, {3}, {2}, {1}]


def test_a_network_that_is_sure_is_believed_about_a_smaller_view() -> None:
    always = replace(CHAIN, ends_seen=(0.98, 0.98))
    upper = column((2, 10, {2: 1}), (14, 22, {1: 1}))
    assert seen(agree_on_levels(2 * upper, always, 1), 5, 18) == [{2}, {1}]
    missed = column((14, 22, {3: 1}), (26, 34, {2: 1}), (38, 46, {1: 1}))
    assert seen(agree_on_levels(missed, always, 1), 5, 18, 30, 42) == [{0}, {3}, {2}, {1}]


@pytest.mark.parametrize(
    "blocks",
    [
        ((2, 10, {4: 1}), (10, 18, {3: 1}), (26, 34, {2: 1}), (34, 42, {1: 1})),
        ((2, 10, {4: 1}), (10, 18, {3: 1}), (18, 26, {2: 1}), (26, 34, {1: 1})),
    ],
)
def test_where_most_vertebrae_touch_they_are_cut_by_their_names(
    blocks: tuple[tuple[int, int, dict[int, float]], ...],
) -> None:
    logits = column(*blocks)
    rows = [low + 3 for low, _, _ in blocks]
    assert seen(agree_on_levels(logits, CHAIN, 1), *rows) == [{4}, {3}, {2}, {1}]


@pytest.mark.parametrize(("thick", "step"), [(2, 7.0), (3, 14 / 3), (12, 14 / 12)])
def test_thin_and_thick_levels_are_as_far_apart_as_the_plan_says(thick: int, step: float) -> None:
    """Discs are farther apart than they are thick: that is no level missed."""
    blocks = [(low, low + thick, {value: 1.0}) for low, value in zip((2, 16, 30, 44), (4, 3, 2, 1), strict=True)]
    levels = replace(CHAIN, step=step, ends_seen=(0.96, 0.96))
    assert seen(agree_on_levels(column(*blocks), levels, 1), 3, 17, 31, 45) == [{4}, {3}, {2}, {1}]


def test_a_gap_of_half_a_step_more_has_missed_nothing() -> None:
    blocks = column((2, 10, {4: 1}), (12, 20, {3: 1}), (22, 30, {2: 1}), (37, 45, {1: 1}))
    assert seen(agree_on_levels(blocks, replace(CHAIN, step=1.25), 1), 5, 15, 25, 40) == [{4}, {3}, {2}, {1}]


def test_crumbs_do_not_say_what_is_usual() -> None:
    logits = column((2, 10, {4: 1}), (14, 22, {3: 0.6, 2: 0.4}))
    for row in (30, 34, 38):
        logits[:, 0, row, 18] = (-2, 3, -2, -2, -2)
    assert seen(agree_on_levels(logits, CHAIN, 1), 5, 18) == [{4}, {3}]


def test_neighbours_keep_their_edges_where_logits_are_interpolated() -> None:
    logits = column((2, 10, {4: 1}), (11, 19, {3: 0.6, 4: 0.4}), (20, 28, {2: 1}))
    agreed = agree_on_levels(logits, replace(CHAIN, step=1.1), 1)
    between = 0.75 * agreed[:, 0, 9, 10] + 0.25 * agreed[:, 0, 10, 10]
    assert between.argmax() == 4
