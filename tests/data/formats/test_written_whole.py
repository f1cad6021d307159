"""Whether ITK has written a file to its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.data.formats.itk import sitk
from autospine.data.formats.written_whole import is_written
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_what_formats_can_hold_is_not_called_cut_off(tmp_path: Path, suffix: str, dtype: type[np.generic]) -> None:
    """What is read back is compared: values of every kind, NaN among them, have to come back as themselves."""
    shape = (1, 5, 6) if suffix == ".png" else (3, 5, 6)
    grid = Geometry(shape, (4.0, 1.5, 0.7), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    array = np.arange(np.prod(shape)).reshape(1, *shape).astype(dtype)
    if suffix == ".png" and dtype != np.uint8:
        array = np.abs(array).astype(np.uint16) * 300
    elif dtype != np.uint8:
        array[0, 0, 0, 0] = np.nan if dtype is np.float32 and suffix != ".tif" else -7
    write_volume(tmp_path / f"a{suffix}", Volume(array, grid))
    if not np.isnan(array).any():
        np.testing.assert_array_equal(read_volume(tmp_path / f"a{suffix}").array, array)


@pytest.mark.parametrize(
    ("name", "packed"),
    [("a.mha", True), ("a.mha", False), ("a.nrrd", True), ("a.nrrd", False), ("a.png", False), ("a.tif", False)],
)
def test_a_file_is_whole_with_its_last_byte(tmp_path: Path, name: str, packed: bool) -> None:
    """The image ends in nothing, as label maps do: a reader fills in what was cut off."""
    values = np.zeros((40, 50) if name.endswith("png") else (6, 40, 50), np.uint8)
    values.flat[: values.size // 3] = np.random.default_rng(0).integers(0, 255, values.size // 3)
    image, path = sitk().GetImageFromArray(values), tmp_path / name
    sitk().WriteImage(image, str(path), useCompression=packed)
    assert is_written(path, image)
    assert not is_written(path, sitk().GetImageFromArray(values + 1))
    content = path.read_bytes()
    for missing in (1, 4, 100) if not name.endswith("tif") else (len(content) // 2,):
        path.write_bytes(content[:-missing])
        assert not is_written(path, image), missing


def test_nan_is_as_it_was(tmp_path: Path) -> None:
    image = sitk().GetImageFromArray(np.array([[[np.nan, 1.0]]], np.float32))
    sitk().WriteImage(image, str(tmp_path / "a.mha"))
    assert is_written(tmp_path / "a.mha", image)
    assert not is_written(tmp_path / "a.mha", sitk().GetImageFromArray(np.array([[[1.0, np.nan]]], np.float32)))
