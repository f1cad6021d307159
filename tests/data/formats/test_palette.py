"""Masks with a palette: numbers, not colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autospine.data.dataset import load_case, open_dataset
from autospine.data.masks.files import read_mask
from autospine.data.structure import Label
from autospine.errors import DataError


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_palette_is_one_channel(tmp_path: Path, suffix: str) -> None:
    drawn = np.zeros((6, 8), np.uint8)
    drawn[1:3, 2:5], drawn[4, 6] = 1, 3
    (tmp_path / "labels").mkdir()
    (tmp_path / "images").mkdir()
    shown = Image.fromarray(drawn).convert("P")
    shown.putdata(drawn.ravel().tolist())
    shown.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    assert shown.mode == "P"
    shown.save(tmp_path / "labels" / f"a{suffix}")
    Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)).save(tmp_path / "images" / f"a{suffix}")
    dataset = open_dataset(tmp_path)
    assert dataset.labels == (Label("label_1", 1), Label("label_3", 3))
    np.testing.assert_array_equal(
        load_case(dataset, dataset.cases[0]).label, np.array([[0, 1, 0, 2]]).T[drawn][..., 0][None]
    )
    whole = (tmp_path / "labels" / f"a{suffix}").read_bytes()
    (tmp_path / "labels" / f"a{suffix}").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match="cannot be read|cut off"):
        read_mask(tmp_path / "labels" / f"a{suffix}")


def test_the_pages_of_a_palette_tiff_are_its_slices(tmp_path: Path) -> None:
    pages = []
    for value in (1, 2, 0):
        page = Image.fromarray(np.full((4, 5), value, np.uint8)).convert("P")
        page.putdata([value] * 20)
        page.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        pages.append(page)
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read_mask(tmp_path / "a.tif").values[:, 0, 0].tolist() == [1, 2, 0]


def test_a_colour_image_is_no_mask(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: 3 values per voxel, as in a colour image"):
        read_mask(tmp_path / "a.png")
