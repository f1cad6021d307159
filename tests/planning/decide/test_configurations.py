from __future__ import annotations

from collections.abc import Callable

import pytest

from autospine.planning.decide.basis import Basis
from autospine.planning.decide.configurations import default_configuration, left_out
from autospine.planning.document.recipe import Recipe
from autospine.planning.measured.fingerprint import Fingerprint

Make = Callable[..., Fingerprint]


@pytest.fixture
def stack(make_fingerprint: Make) -> Fingerprint:
    """20 thick slices, which a patch sees whole."""
    return make_fingerprint([(20, 100, 90)] * 3, [(4.0, 1.0, 1.0)] * 3)


@pytest.fixture
def cube(make_fingerprint: Make) -> Fingerprint:
    """A volume of which a patch sees 3 %."""
    return make_fingerprint([(400, 400, 400)] * 3, [(1.0, 1.0, 1.0)] * 3)


def test_all_is_planned_that_the_data_allow(stack: Fingerprint, cube: Fingerprint) -> None:
    assert left_out(Basis.of(cube, Recipe())) == {}
    absent = left_out(Basis.of(stack, Recipe(neighbours=10, configurations=("2.5d", "3d_fullres", "3d_lowres"))))
    assert absent["2.5d"] == "it sees 21 slices together, the median case has 20"
    assert absent["2d"] == absent["3d_cascade_fullres"] == "the recipe default does not plan it"
    assert "a patch of full resolution sees" in absent["3d_lowres"] and "3d_fullres" not in absent


def test_a_line_of_voxels_has_no_slices(make_fingerprint: Make) -> None:
    line = make_fingerprint([(1, 100, 1)] * 3, [(1.0, 1.0, 1.0)] * 3)
    absent = left_out(Basis.of(line, Recipe()))
    assert absent["2d"] == absent["2.5d"] == "a slice of the median case is a single voxel wide"
    assert "single slice" in absent["3d_fullres"]


@pytest.mark.parametrize(
    ("names", "asked", "first", "why"),
    [
        (("2d", "3d_fullres"), "auto", "3d_fullres", "the median case has 400 slices: a 3D network sees them together"),
        (("2d", "3d_fullres"), "2d", "2d", "the recipe default asks for it"),
        (("3d_lowres", "2d"), "auto", "2d", "the first that the recipe default plans and the data allow at full"),
        (("3d_lowres",), "auto", "3d_lowres", "the recipe default plans nothing else that the data allow"),
        (
            ("2d", "3d_fullres"),
            "2.5d",
            "3d_fullres",
            "the recipe asks for 2.5d, which these data do not allow; ",
        ),
    ],
)
def test_what_sees_most_goes_first(cube: Fingerprint, names: tuple[str, ...], asked: str, first: str, why: str) -> None:
    default = default_configuration(Basis.of(cube, Recipe(default=asked)), names)  # type: ignore[arg-type]
    assert default.value == first and str(default.why).startswith(why)
