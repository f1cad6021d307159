from __future__ import annotations

import base64
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from autospine.data.structure import IGNORED
from autospine.report.page import colours
from autospine.report.page.slices import (
    MOST_SLICES,
    ShownCase,
    as_seen,
    best_slice,
    errors,
    small_picture,
    thumbnail,
    viewer_of,
)
from tests.report.page.pages import shown_case


def opened(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def layer(viewer: object, name: str) -> Image.Image:
    return next(opened(one.uri) for one in viewer.layers if one.name.endswith(f"-{name}"))  # type: ignore[attr-defined]


def test_errors_by_kind() -> None:
    reference = np.array([[0, 1, 1, 2, IGNORED, 0]], np.uint8)
    prediction = np.array([[0, 1, 0, 1, 2, 2]], np.uint8)
    assert errors(reference, prediction).tolist() == [[0, 0, 1, 3, 0, 2]]


def test_a_slice_is_found_where_its_place_says() -> None:
    case = shown_case(shape=(16, 20, 6))
    viewer = viewer_of(case, ("a", "b"), "why", "case-0", 1_000_000)
    assert viewer.grid == (3, 2) and viewer.numbers == (1, 2, 3, 4, 5, 6) and viewer.of == 6
    # columns at 0, 50 and 100 %, rows at 0 and 100 %, as CSS counts them
    assert viewer.places == ((0, 0), (50, 0), (100, 0), (0, 100), (50, 100), (100, 100))
    assert [panel.title for panel in viewer.panels] == ["Image", "Reference", "Prediction", "Error"]
    assert viewer.aspect == pytest.approx(20 / 16)
    picture = layer(viewer, "reference")
    assert picture.mode == "P" and picture.size == (3 * 20, 2 * 16)
    entries = np.asarray(picture)
    tile = entries[16:32, 20:40]  # the fifth slice
    expected = as_seen(case.reference[:, :, 4], 2)  # type: ignore[index]
    assert ((tile > 0) == (expected > 0)).all()
    # inside of class 1 is entry 1, its border 2; of class 2 these are 3 and 4
    assert set(np.unique(tile)) == {0, 1, 2, 3, 4}
    assert (np.where(tile > 0, (tile + 1) // 2, 0) == expected).all()


def test_superior_is_up_and_posterior_down_in_axial_slices() -> None:
    plane = np.array([[1], [2]])
    assert as_seen(plane, 2).tolist() == [[2], [1]]
    assert as_seen(plane, 0).tolist() == [[1], [2]]


def test_masks_are_see_through_inside_and_opaque_at_their_border() -> None:
    picture = layer(viewer_of(shown_case(), ("a", "b"), "", "k", 1_000_000), "prediction").convert("RGBA")
    alphas = set(np.unique(np.asarray(picture)[..., 3]))
    assert alphas == {0, 90, 255}
    seen = {tuple(colour) for colour in np.asarray(picture)[np.asarray(picture)[..., 3] == 255][:, :3]}
    assert seen == {colours.structure_colour(0), colours.structure_colour(1)}


def test_the_image_keeps_its_brightness() -> None:
    case = shown_case()
    image = np.zeros((16, 20, 6), np.float32)
    image[8:] = 1000.0  # the superior half
    picture = np.asarray(
        layer(viewer_of(replace(case, image=image), ("a", "b"), "", "k", 1_000_000), "image").convert("L")
    )
    assert picture[:6, :20].mean() > 240 and picture[10:16, :20].mean() < 15


def test_it_begins_where_most_is_wrong() -> None:
    case = shown_case()
    prediction = case.reference.copy()  # type: ignore[union-attr]
    prediction[:, :, 2] = 0
    assert viewer_of(replace(case, prediction=prediction), ("a", "b"), "", "k", 10**6).start == 2
    # without error, where most of the structure is
    assert viewer_of(replace(case, prediction=case.reference), ("a", "b"), "", "k", 10**6).start == 1


def test_what_is_not_there_has_no_panel() -> None:
    case = replace(shown_case(), reference=None)
    viewer = viewer_of(case, ("a", "b"), "", "k", 10**6)
    assert [panel.title for panel in viewer.panels] == ["Image", "Prediction"] and viewer.errors == ()
    masks = viewer_of(replace(shown_case(), image=None), ("a", "b"), "", "k", 10**6)
    assert [panel.title for panel in masks.panels] == ["Reference", "Prediction", "Error"]


def test_of_many_slices_those_with_structures_are_shown() -> None:
    mask = np.zeros((400, 8, 8), np.uint8)
    mask[100:130] = 1
    case = ShownCase("long", mask.astype(np.float32), mask, mask, (1.0, 1.0, 1.0), 0)
    viewer = viewer_of(case, ("a",), "", "k", 10**6)
    assert viewer.numbers == tuple(range(99, 133)) and viewer.of == 400
    mask[50:350] = 1
    wide = viewer_of(case, ("a",), "", "k", 10**6)
    assert len(wide.numbers) == MOST_SLICES and (wide.numbers[0], wide.numbers[-1]) == (49, 352)


def test_less_room_takes_quality_then_pixels_then_slices() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(100, 30, (12, 60, 60)).astype(np.float32)
    mask = np.zeros(image.shape, np.uint8)
    mask[:, 10:40, 10:40] = 1
    case = ShownCase("noise", image, mask, mask, (1.0, 1.0, 1.0), 0)
    sizes = []
    for most in (10**7, 25_000, 6_000):
        viewer = viewer_of(case, ("a",), "", "k", most)
        sizes.append(sum(len(one.uri) for one in viewer.layers))
        assert sizes[-1] <= most
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_volume_that_says_nothing_is_shown_all_the_same() -> None:
    blank = np.full((4, 5, 6), np.nan, np.float32)
    none = np.zeros(blank.shape, np.uint8)
    viewer = viewer_of(ShownCase("blank", blank, none, none, (1.0, 1.0, 1.0), 2), ("a",), "", "k", 10**6)
    assert viewer.start == 3 and viewer.legend == ()


def test_many_structures_have_borders_up_to_the_last_entry() -> None:
    mask = np.arange(1, 201, dtype=np.uint8).reshape(1, 10, 20).repeat(2, axis=0)
    case = ShownCase("many", None, None, mask, (1.0, 1.0, 1.0), 0)
    viewer = viewer_of(case, [f"s{number}" for number in range(200)], "", "k", 10**7)
    assert len(viewer.legend) == 200 and layer(viewer, "prediction").convert("RGBA").size == (40, 10)


def test_pictures_that_were_drawn_before_are_made_small() -> None:
    written = BytesIO()
    Image.new("RGBA", (1000, 300), (255, 0, 0, 255)).save(written, "PNG")
    picture = small_picture(written.getvalue(), "alt", "caption")
    assert picture is not None and (picture.alt, picture.width, picture.height) == ("alt", 900, 270)
    assert small_picture(written.getvalue()[:60], "alt", "caption") is None
    assert small_picture(b"no picture", "alt", "caption") is None


def test_thumbnails_show_the_mask_on_the_image() -> None:
    image = np.zeros((20, 20), np.float32)
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    picture = np.asarray(opened(thumbnail(image, mask, (40, 20))).convert("RGB")).astype(int)
    assert picture.shape == (20, 40, 3)
    blue = picture[..., 2] - picture[..., 0]
    assert blue[10, 20] > 20 and abs(blue[1, 1]) < 12
    assert best_slice(np.stack([mask * 0, mask, mask * 0]), 0) == 1
