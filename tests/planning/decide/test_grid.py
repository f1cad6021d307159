from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.data.slices import slice_axis
from autospine.planning.decide.grid import (
    low_resolution,
    median_shape,
    order_axes,
    planned_grid,
    planned_median,
    regridded,
    stated_axis,
    target_spacing,
)
from autospine.planning.decide.network import BLOCKS, DECODER_CONVS
from autospine.planning.decide.planner import make_plan
from autospine.planning.decide.topology import NetworkFamily
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint

Make = Callable[..., Fingerprint]


def test_spacing_is_the_median_per_axis() -> None:
    spacings = [(1.0, 0.5, 0.7), (2.0, 0.6, 0.8), (3.0, 0.9, 0.9)]
    target, moved = target_spacing(spacings, [(100, 90, 80)] * 3)
    assert target == (2.0, 0.6, 0.8)
    assert not moved


def test_a_thick_axis_takes_its_tenth_percentile() -> None:
    spacings = [(5.0, 1.0, 1.0), (5.0, 1.0, 1.0), (6.0, 1.0, 1.0), (5.0, 1.0, 1.0), (3.0, 1.0, 1.0)]
    target, moved = target_spacing(spacings, [(12, 200, 220)] * 5)
    assert moved
    assert target == pytest.approx((3.8, 1.0, 1.0))  # 10 % between 3 and 5: 3 + 0.4 x 2
    many_slices, moved = target_spacing(spacings, [(90, 200, 220)] * 5)  # 90 x 3 is not below 200
    assert not moved
    assert many_slices[0] == 5.0


def test_a_thick_axis_stays_the_coarsest() -> None:
    spacings = [(5.0, 1.0, 1.2)] * 8 + [(0.5, 1.0, 1.2)] * 2
    target, moved = target_spacing(spacings, [(12, 200, 220)] * 10)
    assert moved
    assert target[0] == 1.2 + 1e-5


def test_axes_go_coarsest_first_and_single_slices_before_all() -> None:
    assert order_axes(slice_axis((224, 224, 20), (1.0, 1.0, 4.0))) == (2, 0, 1)
    assert order_axes(slice_axis((35, 51, 35), (1.0, 1.0, 1.0))) == (0, 1, 2)
    assert order_axes(slice_axis((30, 51, 35), (0.5, 0.7, 0.6))) == (1, 0, 2)
    assert order_axes(slice_axis((1, 51, 35), (1.0, 2.0, 2.0))) == (0, 1, 2)


def test_the_slice_axis_of_the_headers_that_most_cases_have() -> None:
    assert stated_axis([2, 2, None]) == 2
    assert stated_axis([2, 2, None, 1]) is None
    assert stated_axis([None, None, 1]) is None


def test_the_median_case_on_another_grid(make_fingerprint: Make) -> None:
    made = make_fingerprint([(20, 100, 91), (22, 100, 92)], [(4.0, 1.0, 1.0)] * 2)
    grid = planned_grid(made)
    assert (grid.axis_order, grid.spacing_mm, grid.slices) == ((0, 1, 2), (4.0, 1.0, 1.0), 21.0)
    assert (grid.median_shape, grid.voxels) == ((21.0, 100.0, 91.5), 21 * 100 * 91.5)
    coarse = regridded(grid, made, (4.0, 2.0, 2.0))  # 45.5 rounds to 46 twice: halves go to the even number
    assert (coarse.spacing_mm, coarse.median_shape) == ((4.0, 2.0, 2.0), (21.0, 50.0, 46.0))
    assert coarse.across == grid.across
    assert median_shape(made, (2, 0), (1.0, 2.0)) == (91.5, 42.0)


def test_the_median_case_has_whole_voxels_and_at_least_one() -> None:
    assert planned_median((91.5, 0.4, 20.0), 7).value == (92, 1, 20)
    assert planned_median((20.0,), 7).why == "median of the 7 cases, cropped and resampled to this spacing"


def test_a_sagittal_slab(make_fingerprint: Make) -> None:
    """SPIDER's: 0.94 x 0.94 x 0.9 mm; the coarsest axis would give coronal strips of 256 x 21."""
    slab = make_fingerprint([(320, 256, 21)] * 5, [(0.94, 0.94, 0.9)] * 5)
    plan = make_plan(slab, Recipe())
    two, full = plan.configuration("2d"), plan.configuration("3d_fullres")
    assert two.axis_order == full.axis_order == (2, 0, 1)
    assert two.patch == (320, 256) and two.spacing_mm == (0.94, 0.94)
    assert full.patch == (24, 256, 256) and full.spacing_mm == (0.9, 0.94, 0.94)
    why = plan.reasons["2d.axis_order"]
    assert "one has 21 voxels, under half of the others" in why and "from right to left" in why
    assert "256 x 256 x 256" in plan.reasons["3d_fullres.patch"]


def test_what_the_headers_say_decides_where_voxels_are_cubes(make_fingerprint: Make) -> None:
    cubes = make_fingerprint([(200, 180, 170)] * 5, [(1.0, 1.0, 1.0)] * 5)
    assert make_plan(cubes, Recipe()).configuration("2d").axis_order == (0, 1, 2)
    stated = replace(cubes, cases=tuple(replace(case, slice_axis=2) for case in cubes.cases))
    plan = make_plan(stated, Recipe())
    assert plan.configuration("2d").axis_order == (2, 0, 1)
    assert "the headers name" in plan.reasons["2d.axis_order"]
    assert Fingerprint.from_json(stated.to_json()) == stated


@pytest.mark.parametrize("step", [1.24, 1.26])
def test_thick_slices_go_before_what_headers_say(make_fingerprint: Make, step: float) -> None:
    data = make_fingerprint([(100, 180, 170)] * 5, [(step, 1.0, 1.0)] * 5)
    stated = replace(data, cases=tuple(replace(case, slice_axis=1) for case in data.cases))
    assert make_plan(stated, Recipe()).configuration("2d").axis_order[0] == (0 if step > 1.25 else 1)


def test_the_rule_holds_the_same_when_the_axes_are_turned(make_fingerprint: Make) -> None:
    """Whichever way the slab lies in space, its thin axis goes first."""
    shape, spacing = (21, 320, 256), (0.9, 0.94, 0.94)
    for turn in ((0, 1, 2), (1, 0, 2), (1, 2, 0), (2, 1, 0)):
        turned = make_fingerprint(
            [tuple(shape[axis] for axis in turn)] * 4, [tuple(spacing[axis] for axis in turn)] * 4
        )
        assert make_plan(turned, Recipe()).configuration("2d").axis_order[0] == turn.index(0)


PLAIN = NetworkFamily("plain", BLOCKS["plain"], DECODER_CONVS["plain"], 32, 320, 6)


def test_the_low_resolution_of_a_cube() -> None:
    """400^3 voxels at 1 mm; 8 GB hold 128^3, or 3.3 %: a quarter of a case is seen once it has under 8.4 million."""
    low = low_resolution((1.0, 1.0, 1.0), (400.0, 400.0, 400.0), PLAIN, 8.0)
    assert low.planned
    assert low.seen == pytest.approx(128**3 / 400**3)
    # 23 steps of 3 % make 1.9736 mm and 202.7 voxels, whose quarter is 2 081 000 of the patch's 2 097 152
    assert low.spacing_mm == pytest.approx((1.03**23,) * 3)
    assert low.median_shape == (203.0, 203.0, 203.0)
    assert low.gain == pytest.approx(1.03**69)


def test_thin_axes_become_coarser_first() -> None:
    low = low_resolution((3.0, 1.0, 1.0), (200.0, 500.0, 500.0), PLAIN, 8.0)
    # 1.03^13 is 1.47, 1.03^14 1.51: after 14 steps the pixels are within half of 3 mm, then all axes grow together
    assert low.spacing_mm[1] == low.spacing_mm[2] > 1.03**14
    assert low.spacing_mm[0] / low.spacing_mm[1] == pytest.approx(3 / 1.03**14)


def test_no_low_resolution_where_a_patch_sees_enough() -> None:
    seen = low_resolution((1.0, 1.0, 1.0), (150.0, 150.0, 150.0), PLAIN, 8.0)
    assert not seen.planned
    assert (seen.gain, seen.spacing_mm) == (1.0, (1.0, 1.0, 1.0))
    assert seen.seen > 0.25
    # a quarter is seen with 1.9 times fewer voxels already: not worth a network
    little = low_resolution((1.0, 1.0, 1.0), (240.0, 240.0, 240.0), PLAIN, 8.0)
    assert little.seen < 0.25
    assert 1.0 < little.gain < 2.0
    assert not little.planned
    # 128^3 / 150^3
    assert seen.obstacle == "a patch of full resolution sees 62% of the median case, at least 25% (nnU-Net v2.8)"
    assert f"only {little.gain:.2g} times fewer voxels, under 2" in little.obstacle
