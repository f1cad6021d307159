"""Logits on a case's own grid, and on the grid of the next stage of a cascade."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autospine.data.structure import IGNORED, Region
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import ResamplingPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.restore import as_written, onto_next_grid, restore_labels
from tests.cards import card_of

Make = Callable[..., Configuration]


def properties(
    axis_order: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    shape: tuple[int, int, int] = (8, 6, 4),
) -> CaseProperties:
    """A case of `shape` voxels of 1 mm (canonical), prepared with these planned axes and spacing."""
    z, y, x = shape
    return CaseProperties("case", shape, (1.0, 1.0, 1.0), ((0, z), (0, y), (0, x)), axis_order, spacing_mm)


def test_blocks_land_where_they_lie_in_the_patient(make_configuration: Make) -> None:
    """Low resolution 2 mm on axes (Z, Y, X): voxel (1, 2, 0) covers Z 2-3, Y 4-5, X 0-1 of the 1 mm grid."""
    logits = np.zeros((3, 4, 3, 2), np.float32)
    logits[0] = 1
    logits[2, 1, 2, 0] = 1e3  # so sure that the border with its neighbours is not moved by interpolation alone
    coarse, card = properties((0, 1, 2), (2.0,) * 3), card_of(make_configuration())
    labels = onto_next_grid(logits, coarse, properties((0, 1, 2), (1.0,) * 3), card)
    assert labels.shape == (8, 6, 4)
    assert (labels[2:4, 4:6, 0:2] == 2).all()
    assert set(np.unique(labels)) == {0, 2}
    # the next stage may order its axes otherwise
    turned = onto_next_grid(logits, coarse, properties((2, 0, 1), (1.0,) * 3), card)
    np.testing.assert_array_equal(turned, labels.transpose(2, 0, 1))


def test_the_border_between_classes_comes_from_the_logits(make_configuration: Make) -> None:
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
        card_of(make_configuration(resampling=ResamplingPlan(anisotropy_threshold=9.0))),
    )
    assert labels[:, 2, 2].tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


def test_regions_are_written_in_turn(make_configuration: Make) -> None:
    """Logits 2, 2, -1 of the first region and -1, 0.5, 0.5 of the second: class 2, then class 3 over it."""
    regions = (Region("whole", (1, 2, 3), 2), Region("core", (1, 3), 3))
    logits = np.array([[2.0, 2, -1], [-1, 0.5, 0.5]], np.float32)[:, None, None, :]
    network = replace(make_configuration().network, out_channels=2)
    loss = replace(make_configuration().loss, class_weights=(1.0, 1.0))
    labels = (("L1", 1), ("L2", 2), ("L3", 3))
    card = card_of(make_configuration(network=network, loss=loss), labels=labels, regions=regions)
    same = restore_labels(logits, properties((0, 1, 2), (1.0,) * 3, (1, 1, 3)), card)
    assert same.ravel().tolist() == [2, 3, 3]
    # at half the spacing: whole 2, 2, 2, 1.25, -0.25, -1 and core -1, -0.625, 0.125, 0.5, 0.5, 0.5
    finer = restore_labels(logits, properties((0, 1, 2), (1.0, 1.0, 2.0), (1, 1, 6)), card)
    assert finer.ravel().tolist() == [2, 2, 3, 3, 3, 3]


def test_regions_as_a_prediction_writes_them(make_plan: Callable[..., Plan]) -> None:
    data = make_plan().data
    reference = np.array([0, 1, 2, 3, IGNORED], np.uint8)
    assert as_written(reference, data) is reference
    # whole is written as 1, and over it core as 3
    regions = (Region("whole", (1, 2, 3), 1), Region("core", (2, 3), 3))
    assert as_written(reference, replace(data, regions=regions)).tolist() == [0, 1, 3, 3, IGNORED]
