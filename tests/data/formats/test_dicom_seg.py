"""DICOM-SEG objects as masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autospine.data.formats.dicom_seg import is_segmentation, read_segmentation, segment_names
from autospine.data.geometry import Volume, to_canonical
from autospine.data.volume import read_geometry
from autospine.errors import DataError
from tests.data.sagittal_series import GRID, write_segmentation


@pytest.mark.filterwarnings("ignore")
def test_a_segmentation_lies_on_the_grid_of_its_series(tmp_path: Path) -> None:
    path, mask = write_segmentation(tmp_path)
    grid = read_geometry(tmp_path / "series")
    held = to_canonical(Volume(read_segmentation(path, grid)[None], grid)).array
    np.testing.assert_array_equal(held, to_canonical(Volume(mask[None], GRID)).array)
    assert segment_names(path) == (("L5", 1), ("L4", 2))
    with pytest.raises(DataError, match="not on the grid of its image"):
        read_segmentation(path, replace(grid, origin_mm=(0.0, 0.0, 0.0)))
    with pytest.raises(DataError, match="0 segments"):
        segment_names(tmp_path / "series" / "IM0000.dcm")


@pytest.mark.filterwarnings("ignore")
def test_a_segmentation_says_so_in_its_header(tmp_path: Path) -> None:
    path, _ = write_segmentation(tmp_path)
    assert is_segmentation(path)
    assert not is_segmentation(tmp_path / "series" / "IM0000.dcm")
    path.write_bytes(path.read_bytes()[:300])
    assert not is_segmentation(path)
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert not is_segmentation(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="notes.txt"):
        segment_names(tmp_path / "notes.txt")
