"""Panels of pictures: right way up, in proportion, in colours that say what they mean, names as they stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autospine.data.codes.structures import Structure, structures_of
from autospine.report.panels import (
    ERRORS,
    ShownSlice,
    coloured,
    coloured_errors,
    shortened,
    slices_through,
    structure_entries,
    windowed,
    write_slices,
)

STRUCTURES = structures_of([("L5", 1), ("L4", 2)])


def shown(mask: np.ndarray, axis: int, spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0)) -> ShownSlice:
    return ShownSlice("", np.zeros(mask.shape, np.float32), None, mask, axis, spacing_mm)


def pixels(path: Path, structure: Structure) -> np.ndarray:
    """Where the picture shows the border of a structure, (n, 2) rows and columns."""
    picture = imread(path)[..., :3]
    return np.argwhere(np.abs(picture - np.array(structure.colour) / 255).max(axis=2) < 0.03)


def test_superior_is_up_posterior_is_right_and_voxels_keep_their_proportions(tmp_path: Path) -> None:
    # rows to superior by columns to posterior, of 3 by 1 mm: a block of 10 by 12 voxels above and behind another one
    mask = np.zeros((30, 40), np.uint8)
    mask[16:26, 24:36] = 1
    mask[3:13, 4:16] = 2
    write_slices(tmp_path / "a.png", [shown(mask, 2, (3.0, 1.0, 8.0))], STRUCTURES, [], "case")
    back, front = (pixels(tmp_path / "a.png", one) for one in STRUCTURES)
    height, width = np.ptp(back, axis=0) + 1
    assert height / width == pytest.approx(30 / 12, rel=0.03)
    assert back[:, 0].max() < front[:, 0].min()  # higher up
    assert back[:, 1].min() > front[:, 1].max()  # further right


@pytest.mark.parametrize(("axis", "above"), [(0, 0), (1, 10)])
def test_axial_slices_show_anterior_up_and_coronal_ones_superior(tmp_path: Path, axis: int, above: int) -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[above + 2 : above + 8, 2:8] = 1  # the half that belongs above, to the patient's right
    mask[12 - above : 18 - above, 12:18] = 2
    write_slices(tmp_path / "a.png", [shown(mask, axis)], STRUCTURES, [], "")
    first, second = (pixels(tmp_path / "a.png", one) for one in STRUCTURES)
    assert first[:, 0].max() < second[:, 0].min()
    assert first[:, 1].max() < second[:, 1].min()  # the patient's right is shown at the left


def test_slices_stand_side_by_side_where_they_are_more_than_panels(tmp_path: Path) -> None:
    slices = [shown(np.zeros((10, 10), np.uint8), 0)] * 5
    for count in (2, 5):
        write_slices(tmp_path / f"{count}.png", slices[:count], STRUCTURES, [], "")
    two, five = (imread(tmp_path / f"{count}.png").shape for count in (2, 5))
    assert five[1] > 2 * two[1] and abs(five[0] - two[0]) < 5  # two panels by five slices, and two by two


def test_borders_are_opaque_and_what_lies_inside_shows_the_image() -> None:
    plane = np.zeros((7, 7), np.uint8)
    plane[1:6, 1:6] = 1
    colours = coloured(plane, STRUCTURES)
    np.testing.assert_allclose(colours[3, 3, :3] * 255, STRUCTURES[0].colour, atol=0.01)
    assert colours[3, 3, 3] < 0.5 and colours[1, 3, 3] == 1.0 and colours[0, 0, 3] == 0.0


def test_each_kind_of_error_has_its_colour() -> None:
    reference, prediction = np.array([[0, 1, 1, 2, 0]]), np.array([[1, 0, 2, 2, 0]])
    found = coloured_errors(reference, prediction)[0]
    wanted = [tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5)) for _, colour in ERRORS]
    assert [name for name, _ in ERRORS] == ["false positive", "false negative", "wrong structure"]
    np.testing.assert_allclose(found[:3, :3] * 255, wanted, atol=0.01)
    assert (found[:3, 3] > 0.5).all() and not found[3:, 3].any()


def test_grey_runs_from_the_first_to_the_last_percentile_and_what_is_no_number_is_black() -> None:
    values = np.arange(101.0)
    grey = windowed(values)
    assert grey[0] == grey[1] == 0 and grey[99] == grey[100] == 1 and grey[50] == pytest.approx(0.5)
    odd = windowed(np.array([np.nan, np.inf, 5.0, 9.0]))
    assert odd[0] == 0 and odd[1] == 0 and odd[3] == 1


def test_slices_are_spread_through_what_a_mask_holds() -> None:
    mask = np.zeros((3, 20, 4), np.uint8)
    assert slices_through(mask, 1, 3) == [5, 10, 14]  # of 0 to 19 a quarter, a half, three quarters
    mask[1, 4:13, 2] = 1
    assert slices_through(mask, 1, 3) == [6, 8, 10]
    assert slices_through(mask[:, 4:5], 1, 3) == [0]


def test_a_legend_names_what_there_is_room_for() -> None:
    many = structures_of([(f"label_{value}", value) for value in range(1, 60)])
    entries = structure_entries(many)
    assert len(entries) == 41 and entries[-1] == (None, "and 19 more")
    assert structure_entries(()) == [(None, "nothing found")]
    assert structure_entries(STRUCTURES, ("0.912", "0.850"))[0][1] == "L5  0.912"


def test_the_end_of_a_long_name_tells_it_from_others() -> None:
    names = [f"erector spinae and multifidus muscle, {side}" for side in ("left", "right")]
    short = [shortened(name) for name in names]
    assert [len(name) for name in short] == [28, 28] and short[0].endswith("left") and short[1].endswith("right")
    assert shortened("L5") == "L5"


def test_names_that_look_like_formulas_are_names(tmp_path: Path) -> None:
    odd = structures_of([(r"$\frac{$", 1), ("_hidden", 2)])
    one = ShownSlice(r"$\frac{$", np.zeros((8, 8), np.float32), None, np.zeros((8, 8), np.uint8), 0, (1.0, 1.0, 1.0))
    write_slices(tmp_path / "a.png", [one], odd, structure_entries(odd), r"$\frac{$")
    assert (tmp_path / "a.png").stat().st_size > 1000
