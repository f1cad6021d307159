"""The phantom's tumour: its size, how it enhances, and that no threshold finds it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from autospine.phantom.anatomy import CANAL, FINE, LABELS, Spine, draw_chain, render
from autospine.phantom.contrast import T1_GADOLINIUM
from autospine.phantom.grid import draw_grid
from autospine.phantom.scan import Scene
from autospine.phantom.tumour import SPACING_MM, VOXELS, draw_tumour
from tests.phantom.phantoms import diameters, drawn

TUMOURS = (0, 5, 7, 8)
VALUE = dict(LABELS)


@pytest.mark.parametrize("number", TUMOURS)
def test_there_is_one_tumour_and_it_is_small(number: int) -> None:
    case = drawn(number, "tumour")
    assert set(np.unique(case.label)) == {0, 1}
    (size,) = diameters(case, 1)
    assert 7 < size < 36
    assert (case.label == 1).mean() < 0.03


def test_tumours_differ_in_size_and_in_how_they_enhance() -> None:
    cases = [drawn(number, "tumour") for number in TUMOURS]
    sizes = [diameters(case, 1)[0] for case in cases]
    assert max(sizes) > 2 * min(sizes)
    spread = [np.percentile(case.image[0][case.label == 1], (10, 90)) for case in cases]
    assert any(low < 0.45 * high for low, high in spread)  # a dead middle
    assert any(low > 0.65 * high for low, high in spread)


@pytest.mark.parametrize("number", TUMOURS)
def test_no_threshold_finds_the_tumour(number: int) -> None:
    case = drawn(number, "tumour")
    tumour, image = case.label == 1, case.image[0]
    levels = np.percentile(image, (*np.arange(0, 96, 5), 97, 98, 99, 99.5, 99.8, 100))
    best = max(
        2 * (tumour & window).sum() / (tumour.sum() + window.sum())
        for low in levels
        for high in levels[levels > low]
        if (window := (image >= low) & (image <= high)).any()
    )
    assert best < 0.35


@cache
def scene(seed: int) -> tuple[Scene, Spine]:
    """A tumour, and the spine that was there before: the same numbers drawn again."""
    rng = np.random.default_rng(seed)
    grid = draw_grid(rng, VOXELS, SPACING_MM, FINE)
    spine = render(rng, grid, draw_chain(rng, grid.extent_mm), T1_GADOLINIUM)
    return draw_tumour(np.random.default_rng(seed)), spine


@pytest.mark.parametrize("seed", [5, 6])
def test_it_lies_in_the_sac_or_grows_from_a_body(seed: int) -> None:
    """The first fills the sac's depth; the second breaks out of L2 to its sides, and hardly into a disc."""
    drawn, spine = scene(seed)
    held = np.bincount(spine.labels[drawn.labels == 1], minlength=8) / np.count_nonzero(drawn.labels)
    assert drawn.labels.max() == 1
    if seed == 5:
        assert held[CANAL] == 1
    else:
        assert held[VALUE["L2"]] > 0.9 and held[0] > 0.02 and held[VALUE["disc"]] < 0.01


@pytest.mark.parametrize("seed", [5, 6])
def test_it_is_brighter_than_what_it_grows_in_and_no_brighter_than_blood(seed: int) -> None:
    drawn, spine = scene(seed)
    tumour = drawn.labels == 1
    (signal,) = drawn.signals
    before = spine.signal[tumour]
    assert np.percentile(signal[tumour], 90) > np.percentile(before, 90) + 0.2
    assert np.percentile(signal[tumour], 75) < 1.3 * T1_GADOLINIUM.blood


def test_what_enhances_elsewhere_is_not_labelled() -> None:
    """Veins and nodules: bright where there was no blood before, and background."""
    drawn, spine = scene(5)
    (signal,) = drawn.signals
    new = (signal > 0.75) & (spine.signal < 0.6) & (drawn.labels == 0)
    assert np.isin((1, 2, 3, 4, 5), spine.labels[new]).all()  # a vein in every body
    assert (new & (spine.labels == 0)).sum() > 1000
