"""FreeSurfer's MGH, Analyze and NIfTI pairs."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from autospine.data.geometry import Volume
from autospine.data.volume import header_remarks, read_channels, read_geometry, read_volume, write_volume
from autospine.errors import OutputError
from tests.data.formats.scene import ARRAY, GRID, by_nibabel


@pytest.mark.parametrize("suffix", [".mgz", ".mgh"])
def test_channels_and_types_of_mgh(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    two = np.stack([ARRAY[0], ARRAY[0] + 100]).astype(np.float64)
    write_volume(path, Volume(two, GRID))
    assert read_channels(path) == 2
    np.testing.assert_array_equal(read_volume(path).array, two)
    with pytest.raises(OutputError, match="MGH has no type for uint32"):
        write_volume(path, Volume(ARRAY.astype(np.int64) + 2**31, GRID))
    np.testing.assert_array_equal(read_volume(path).array, two)  # what stood there stands
    large = ARRAY.astype(np.int64) + 70000
    write_volume(path, Volume(large, GRID))
    np.testing.assert_array_equal(read_volume(path).array, large)


def test_analyze_does_not_say_where_it_lies(tmp_path: Path) -> None:
    nibabel.AnalyzeImage(ARRAY[0].T, np.diag([-0.7, 1.5, 4.0, 1.0])).to_filename(tmp_path / "a.hdr")
    assert read_geometry(tmp_path / "a.hdr").spacing_mm == pytest.approx((4.0, 1.5, 0.7))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr").array, ARRAY)
    assert "which side is left" in header_remarks(tmp_path / "a.hdr")[0]
    assert header_remarks(by_nibabel(tmp_path / "b.hdr")) == ()


def test_a_pair_that_says_two_things(tmp_path: Path) -> None:
    path = by_nibabel(tmp_path / "a.hdr")
    image = nibabel.load(path)
    moved = image.affine.copy()
    moved[0, 3] += 30
    image.set_qform(moved, 1)
    image.to_filename(tmp_path / "b.hdr")
    assert "30 mm apart" in header_remarks(tmp_path / "b.hdr")[0]
