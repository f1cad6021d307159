"""A slab of nearly cubic voxels is planned in its own slices, and the reason says by which rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.planning.decide.planner import make_plan
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint

Make = Callable[..., Fingerprint]


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
