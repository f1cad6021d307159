"""A previous stage's segmentation on the next stage's grid, and on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.errors import PlanError
from autospine.planning.document.parts import ResamplingPlan
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.previous import PreviousStage, one_hot, onto_next_grid, write_segmentation


def properties(axis_order: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> CaseProperties:
    """A case of 8 x 6 x 4 voxels of 1 mm (canonical), prepared with these planned axes and spacing."""
    box = ((0, 8), (0, 6), (0, 4))
    return CaseProperties("case", (8, 6, 4), (1.0, 1.0, 1.0), box, axis_order, spacing_mm)


def test_blocks_land_where_they_lie_in_the_patient() -> None:
    """Low resolution 2 mm on axes (Z, Y, X): voxel (1, 2, 0) covers Z 2-3, Y 4-5, X 0-1 of the 1 mm grid."""
    logits = np.zeros((3, 4, 3, 2), np.float32)
    logits[0] = 1
    logits[2, 1, 2, 0] = 1e3  # so sure that the border with its neighbours is not moved by interpolation alone
    labels = onto_next_grid(
        logits, properties((0, 1, 2), (2.0,) * 3), properties((0, 1, 2), (1.0,) * 3), (8, 6, 4), ResamplingPlan()
    )
    assert labels.shape == (8, 6, 4)
    assert (labels[2:4, 4:6, 0:2] == 2).all()
    assert set(np.unique(labels)) == {0, 2}
    # the next stage may order its axes otherwise
    turned = onto_next_grid(
        logits, properties((0, 1, 2), (2.0,) * 3), properties((2, 0, 1), (1.0,) * 3), (4, 8, 6), ResamplingPlan()
    )
    np.testing.assert_array_equal(turned, labels.transpose(2, 0, 1))


def test_the_border_between_classes_comes_from_the_logits() -> None:
    """Two voxels of 4 mm, class 1 ahead by 3 in one and behind by 1 in the other.

    On the 1 mm grid the lead is 3, 3, 2.5, 1.5, 0.5, -0.5, -1, -1 (voxel centres at 0.5 mm, 1.5 mm, ...): five voxels
    for class 1. Labels enlarged by themselves would split four to four.
    """
    logits = np.zeros((2, 2, 6, 4), np.float32)
    logits[1, 0], logits[1, 1] = 3, -1
    labels = onto_next_grid(
        logits,
        properties((0, 1, 2), (4.0, 1.0, 1.0)),
        properties((0, 1, 2), (1.0,) * 3),
        (8, 6, 4),
        ResamplingPlan(anisotropy_threshold=9.0),
    )
    assert labels[:, 2, 2].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


def test_one_hot_has_a_channel_per_class_and_none_for_the_background() -> None:
    labels = np.array([[[0, 1, 2, 3, 3]]], np.uint8)
    channels = one_hot(labels, 4)
    assert channels.dtype == np.float32
    expected = [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(channels[:, 0, 0], expected)


def test_a_file_is_mapped_and_checked(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (3, 4, 5)).astype(np.uint8)
    path = tmp_path / "next" / "a.npy"
    write_segmentation(path, labels.transpose(0, 2, 1))
    stage = PreviousStage({"a": path, "b": tmp_path / "b.npy"}, "k")
    opened = stage.open("a", (3, 5, 4))
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, labels.transpose(0, 2, 1))
    with pytest.raises(PlanError, match=r"shape \(3, 5, 4\)"):
        stage.open("a", (3, 4, 5))
    with pytest.raises(PlanError, match="missing or damaged"):
        stage.open("b", (3, 4, 5))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PlanError, match="missing or damaged"):
        stage.open("a", (3, 5, 4))
