"""What a segmentation shows, and what no body can be, counted by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from autospine.data.structure import Region
from autospine.inference.anatomy import Found, absent_of, describe_anatomy
from autospine.planning.document.data import DataPlan, IntensityPlan, LevelsPlan

CHANNEL = {"channels": ("T2",), "intensities": (IntensityPlan(0.0, 1.0, 0.0, 1.0),)}
LABELS = (("L5", 1), ("L4", 2), ("L3", 3), ("L2", 4))
PLAIN = DataPlan("toy", labels=LABELS, **CHANNEL)  # type: ignore[arg-type]
COLUMN = DataPlan("toy", labels=LABELS, levels=LevelsPlan((1, 2, 3, 4), 0, 1.2, (0.5, 0.5)), **CHANNEL)  # type: ignore[arg-type]
SPACING = (3.0, 1.0, 2.0)


def column(*levels: int) -> np.ndarray:
    """Levels from bottom to top (Z), each 2 x 3 x 4 voxels with a gap of one above it; 0 leaves one out."""
    labels = np.zeros((3 * len(levels) + 2, 7, 8), np.uint8)
    for place, level in enumerate(levels):
        labels[1 + 3 * place : 3 + 3 * place, 2:5, 2:6] = level
    return labels


def test_volume_islands_and_the_edge() -> None:
    labels = np.zeros((6, 7, 8), np.uint8)
    labels[2:4, 2:5, 2:6] = 1  # 24 voxels
    labels[5, 6, 7] = labels[4, 5, 7] = 1  # touch by an edge, not by a face
    labels[0:2, 3, 3] = 2
    found = describe_anatomy(labels, PLAIN, SPACING).structures
    # both islands of one voxel lie in an outermost plane, and one voxel of the second structure's two
    assert found == (Found(26 * 6.0, 3, 24 / 26, 2 / 26), Found(12.0, 1, 1.0, 0.5), Found(0.0, 0, 0.0, 0.0), found[2])


def test_all_of_a_slice_is_not_its_edge() -> None:
    labels = np.zeros((1, 7, 8), np.uint8)
    labels[0, 2:4, 0:2] = 1
    assert describe_anatomy(labels, PLAIN, SPACING).structures[0] == Found(24.0, 1, 1.0, 0.5)


@pytest.mark.parametrize(
    ("levels", "missing", "misplaced", "doubled"),
    [
        ((1, 2, 3, 4), 0, 0, 0),
        ((2, 3), 0, 0, 0),
        ((), 0, 0, 0),
        ((1, 0, 3, 4), 1, 0, 0),
        ((1, 4), 2, 0, 0),
        ((1, 3, 2, 4), 0, 1, 0),
        ((4, 3, 2, 1), 0, 3, 0),
        ((1, 2, 2, 3), 0, 0, 1),
        ((1, 1, 3, 3), 1, 0, 2),
    ],
)
def test_levels_along_a_column(levels: tuple[int, ...], missing: int, misplaced: int, doubled: int) -> None:
    found = describe_anatomy(column(*levels), COLUMN, SPACING)
    assert (found.levels_missing, found.levels_misplaced, found.levels_doubled) == (missing, misplaced, doubled)
    assert describe_anatomy(column(*levels), PLAIN, SPACING).levels_missing == 0


def test_a_crumb_or_a_piece_beside_it_is_no_second_level() -> None:
    labels = column(1, 2, 3)
    labels[10, 0, 0] = 1  # one voxel of 25
    labels[4:6, 0:1, :] = 2  # eight rows beside the body of L4, at its own height
    assert describe_anatomy(labels, COLUMN, SPACING).levels_doubled == 0


def test_sides_are_where_the_body_has_them() -> None:
    """Canonical axes run towards the left: the left one has the larger index."""
    data = DataPlan("toy", labels=LABELS, sides=((1, 2), (4, 3)), **CHANNEL)  # type: ignore[arg-type]
    labels = np.zeros((4, 5, 9), np.uint8)
    labels[1:3, 1:3, 6:8], labels[1:3, 1:3, 1:3] = 1, 2
    assert describe_anatomy(labels, data, SPACING).sides_swapped == 0
    labels[1:3, 3:4, 1:3], labels[1:3, 3:4, 5:7] = 4, 3
    assert describe_anatomy(labels, data, SPACING).sides_swapped == 1
    assert describe_anatomy(labels[:, :, ::-1], data, SPACING).sides_swapped == 1
    labels[labels == 3] = 0
    assert describe_anatomy(labels, data, SPACING).sides_swapped == 0


def test_a_region_is_all_of_its_classes() -> None:
    regions = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    data = DataPlan("toy", labels=LABELS, regions=regions, **CHANNEL)  # type: ignore[arg-type]
    labels = np.zeros((5, 6, 7), np.uint8)
    labels[1:4, 1:4, 1:4] = 2
    labels[2, 2, 2] = 1
    whole, core = describe_anatomy(labels, data, SPACING).structures
    assert whole == Found(27 * 6.0, 1, 1.0, 0.0) and core == Found(6.0, 1, 1.0, 0.0)


def test_structures_without_a_voxel() -> None:
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[1, 1, 1] = 2
    assert absent_of(labels, PLAIN) == {"L5", "L3", "L2"}
    regions = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    assert absent_of(labels, DataPlan("toy", labels=LABELS, regions=regions, **CHANNEL)) == {"core"}  # type: ignore[arg-type]


def test_no_more_than_eight_bytes_a_voxel_are_taken() -> None:
    """As many as are foreseen of what is restored (`too_large`): the mask, and the number of each component."""
    regions = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    data = DataPlan("toy", labels=LABELS, regions=regions, **CHANNEL)  # type: ignore[arg-type]
    labels = np.full((64, 100, 100), 2, np.uint8)
    labels[20:40, 20:40, 20:40] = 1
    describe_anatomy(labels, data, SPACING)
    tracemalloc.start()
    try:
        describe_anatomy(labels, data, SPACING)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 7.5 * labels.size
