"""The lumbar spine of the phantom: levels in order, and no threshold that finds them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from autospine.phantom.anatomy import CANAL, LABELS, SAC_BEHIND_MM, Block, Spine, draw_chain, local_mm, render
from autospine.phantom.contrast import STIR, T1, T2, Contrast
from autospine.phantom.dataset import draw_case
from autospine.phantom.grid import Grid

VALUE = dict(LABELS)


def centre(label: np.ndarray, name: str) -> np.ndarray:
    """Mean (Z, Y, X) index of a class."""
    return np.argwhere(label == VALUE[name]).mean(axis=0)


@pytest.mark.parametrize("number", range(8))
def test_anatomy_is_in_order(number: int) -> None:
    case = draw_case(0, number)
    assert set(np.unique(case.label)) == set(range(8))
    heights = [centre(case.label, name)[0] for name in ("L5", "L4", "L3", "L2", "L1")]
    assert heights == sorted(heights)
    # Bodies stand about 28 to 36 mm apart, the canal lies behind them, L5 is larger than L1.
    assert all(25 < gap * case.spacing_mm[0] < 40 for gap in np.diff(heights))
    assert centre(case.label, "canal")[1] > max(centre(case.label, name)[1] for name in ("L2", "L3", "L4")) + 5
    assert (case.label == VALUE["L5"]).sum() > (case.label == VALUE["L1"]).sum()
    # Lordosis: L3 is further forward than both ends of the column.
    assert centre(case.label, "L3")[1] < min(centre(case.label, "L1")[1], centre(case.label, "L5")[1])
    # Every body is inside the volume, so that no level is cut at the top or bottom.
    assert not np.isin(case.label[[0, -1]], (1, 2, 3, 4, 5)).any()


def test_no_threshold_separates_the_vertebrae() -> None:
    case = draw_case(0, 0)
    bodies = (case.label >= 1) & (case.label <= 5)
    levels = np.percentile(case.image, np.arange(0, 101, 4))
    best = max(
        2 * (bodies & window).sum() / (bodies.sum() + window.sum())
        for low in levels
        for high in levels[levels > low]
        if (window := (case.image[0] >= low) & (case.image[0] <= high)).any()
    )
    assert best < 0.6


COARSE = Grid((98, 80, 11), (2.05, 1.95, 4.0), (1, 1, 1))
"""A spine's size with one sample a voxel."""


def painted(contrast: Contrast, seed: int = 3) -> Spine:
    rng = np.random.default_rng(seed)
    return render(rng, COARSE, draw_chain(rng, COARSE.extent_mm), contrast)


@pytest.mark.parametrize("seed", range(6))
def test_a_chain_is_stacked_end_plate_to_end_plate(seed: int) -> None:
    blocks = draw_chain(np.random.default_rng(seed), (200.0, 156.0, 44.0))
    assert [block.label for block in blocks] == [0, 0, 1, 2, 3, 4, 5, 0, 0]
    tilts = [block.tilt_rad for block in blocks]
    assert np.degrees(tilts[0]) > 30 and max(np.degrees(tilts[7:])) < 0  # the sacrum's slope, a lean backwards on top
    for below, above in pairwise(blocks):
        apart = np.hypot(*np.subtract(above.centre_mm, below.centre_mm))
        gap = apart - below.half_mm[0] - above.half_mm[0]
        assert above.centre_mm[0] > below.centre_mm[0] and 1 < gap < 13
    # L3: 0.56 of 200 mm high and 0.38 of 156 mm deep
    z, y = blocks[4].centre_mm
    assert abs(z - 112) <= 6 and abs(y - 59.28) <= 5


def test_axes_of_a_block_by_hand() -> None:
    """Upright they are those of the grid; leant to anterior by a right angle, up is forward and back is up."""
    grid = Grid((4, 4, 1), (1.0, 1.0, 1.0), (1, 1, 1))  # samples at 0.5, 1.5, 2.5, 3.5
    whole = slice(0, 4), slice(0, 4)
    up, back = local_mm(grid, Block(1, (1.5, 2.5), 0.0, (1.0, 1.0, 1.0)), whole)
    assert (up[3, 0, 0], back[0, 3, 0]) == (2.0, 1.0)
    up, back = local_mm(grid, Block(1, (1.5, 2.5), np.pi / 2, (1.0, 1.0, 1.0)), whole)
    assert (up[3, 0, 0], back[3, 0, 0]) == pytest.approx((2.0, 2.0), abs=1e-6)  # two forward, two up


def test_the_same_numbers_are_the_same_patient_in_every_sequence() -> None:
    t2, t1, stir = (painted(contrast) for contrast in (T2, T1, STIR))
    np.testing.assert_array_equal(t1.labels, t2.labels)
    np.testing.assert_array_equal(stir.labels, t2.labels)
    bright = {
        name: [float(np.median(one.signal[one.labels == VALUE[name]])) for one in (t2, t1, stir)]
        for name in ("canal", "L3")
    }
    assert bright["canal"][0] > 2 * bright["canal"][1] and bright["canal"][2] > 2 * bright["canal"][1]
    assert bright["L3"][1] > bright["L3"][0] > bright["L3"][2]


def test_each_label_holds_the_signals_of_its_tissue() -> None:
    spine = painted(T2)
    canal = np.unique(spine.signal[spine.labels == CANAL])
    np.testing.assert_allclose(canal, [T2.cord, T2.roots, T2.fluid], rtol=1e-6)
    disc = np.unique(spine.signal[spine.labels == VALUE["disc"]]).tolist()
    assert min(disc) == pytest.approx(T2.annulus)
    assert all(any(value == pytest.approx(one) for one in (T2.annulus, *T2.nuclei)) for value in disc)
    body = spine.signal[spine.labels == VALUE["L3"]]
    assert np.isclose(body, T2.cortex).any() and 0.3 < np.median(body) < 0.7


def test_the_canal_runs_behind_the_bodies_and_the_column_in_the_middle() -> None:
    spine = painted(T2)
    where = np.broadcast_to(spine.behind, spine.labels.shape), np.broadcast_to(spine.midline, spine.labels.shape)
    behind, midline = (place[spine.labels == CANAL] for place in where)
    assert np.mean(behind) == pytest.approx(SAC_BEHIND_MM, abs=1.5) and abs(np.mean(midline)) < 1.5
    levels = np.isin(spine.labels, (1, 2, 3, 4, 5))
    assert np.mean(where[0][levels]) < -10 and abs(np.mean(where[1][levels])) < 1.5
