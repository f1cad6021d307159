"""The formats beside NIfTI: where they lie, what a picture's resolution is not, headers with their voxels elsewhere."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from autospine.data.formats.itk import sitk
from autospine.data.geometry import Geometry, Volume, same_grid
from autospine.data.volume import WRITTEN_AS, header_remarks, read_channels, read_geometry, read_volume, write_volume
from autospine.errors import DataError, OutputError

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.7), (-12.5, 30.0, 7.25), (0.0, 0.6, 0.8, 1.0, 0.0, 0.0, 0.0, 0.8, -0.6))
ARRAY = np.arange(60, dtype=np.int16).reshape(1, 3, 4, 5)


def by_nibabel(path: Path) -> Path:
    """The scene on `GRID` as nibabel writes it."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(GRID.direction).reshape(3, 3) * GRID.spacing_mm[::-1]
    matrix[:3, 3] = GRID.origin_mm
    made = {".mgz": nibabel.MGHImage, ".mgh": nibabel.MGHImage, ".hdr": nibabel.Nifti1Pair}[path.suffix]
    made(ARRAY[0].T, np.diag([-1, -1, 1, 1]) @ matrix).to_filename(path)
    return path


def by_itk(path: Path) -> Path:
    image = sitk().GetImageFromArray(ARRAY[0])
    image.SetSpacing(GRID.spacing_mm[::-1])
    image.SetOrigin(GRID.origin_mm)
    image.SetDirection(GRID.direction)
    sitk().WriteImage(image, str(path), useCompression=True)
    return path


@pytest.mark.parametrize("suffix", [".mgz", ".mgh", ".hdr", ".mhd", ".nhdr"])
def test_one_scene_in_every_format(tmp_path: Path, suffix: str) -> None:
    path = (by_itk if suffix in (".mhd", ".nhdr") else by_nibabel)(tmp_path / f"a{suffix}")
    read = read_volume(path)
    assert same_grid(read.geometry, GRID, 1e-4) is None
    assert read.geometry.spacing_mm == pytest.approx(GRID.spacing_mm)
    assert read_channels(path) == 1 and read_geometry(path) == read.geometry
    np.testing.assert_array_equal(read.array, ARRAY)
    result = tmp_path / f"result{WRITTEN_AS[suffix]}"
    write_volume(result, Volume(np.ones((1, 3, 4, 5), np.uint8), read.geometry))
    assert same_grid(read_geometry(result), GRID, 1e-4) is None
    np.testing.assert_array_equal(read_volume(result).array, 1)


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


@pytest.mark.parametrize("suffix", [".mgz", ".mgh", ".hdr", ".mhd", ".nhdr"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_what_was_cut_off(tmp_path: Path, suffix: str, share: float) -> None:
    path = (by_itk if suffix in (".mhd", ".nhdr") else by_nibabel)(tmp_path / f"a{suffix}")
    holder = max(tmp_path.iterdir(), key=lambda file: file.suffix in (".img", ".zraw", ".gz"))
    holder.write_bytes(holder.read_bytes()[: int(share * holder.stat().st_size)])
    with pytest.raises(DataError, match=r"a\."):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".hdr", ".mhd", ".nhdr"])
def test_a_header_alone(tmp_path: Path, suffix: str) -> None:
    path = (by_nibabel if suffix == ".hdr" else by_itk)(tmp_path / f"a{suffix}")
    for other in tmp_path.iterdir():
        if other != path:
            other.unlink()
    with pytest.raises(DataError, match=r"no a\.\w+(\.gz)? beside it"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_a_header_reads_no_file_but_the_one_beside_it(tmp_path: Path, suffix: str) -> None:
    path = by_itk(tmp_path / f"a{suffix}")
    named = next(other.name for other in tmp_path.iterdir() if other != path)
    for elsewhere in (f"../{named}", f"/etc/{named}", "LIST", "a_%d.raw 1 3 1"):
        path.write_bytes(path.read_bytes().replace(named.encode(), elsewhere.encode()))
        with pytest.raises(DataError, match="names another file"):
            read_volume(path)
        named = elsewhere


def test_analyze_does_not_say_where_it_lies(tmp_path: Path) -> None:
    nibabel.AnalyzeImage(ARRAY[0].T, np.diag([-0.7, 1.5, 4.0, 1.0])).to_filename(tmp_path / "a.hdr")
    assert read_geometry(tmp_path / "a.hdr").spacing_mm == pytest.approx((4.0, 1.5, 0.7))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.hdr").array, ARRAY)
    assert "which side is left" in header_remarks(tmp_path / "a.hdr")[0]
    assert header_remarks(by_nibabel(tmp_path / "b.hdr")) == ()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_dots_per_inch_are_no_voxel_size(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).save(path, dpi=(300, 150))
    assert read_geometry(path).spacing_mm == (1.0, 1.0, 1.0)
    (tmp_path / "a.json").write_text('{"spacing": [999, 0.5, 0.25]}')
    assert read_geometry(path).spacing_mm == (999.0, 0.5, 0.25)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_a_slice_that_lies_oblique_in_space(tmp_path: Path, suffix: str) -> None:
    """x runs to the back and y to the head: the upper left of its matrix alone is no direction."""
    sagittal = Geometry((1, 4, 5), (1.0, 1.5, 0.7), (3.0, 4.0, 5.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0), 2)
    write_volume(tmp_path / f"a{suffix}", Volume(np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5), sagittal))
    back = read_volume(tmp_path / f"a{suffix}")
    assert same_grid(back.geometry, sagittal, 1e-4) is None
    np.testing.assert_array_equal(back.array.ravel(), np.arange(20))


def test_a_png_file_holds_one_slice(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="holds one slice, and this is 3"):
        write_volume(tmp_path / "a.png", Volume(ARRAY.astype(np.uint8), GRID))


def test_a_pair_that_says_two_things(tmp_path: Path) -> None:
    path = by_nibabel(tmp_path / "a.hdr")
    image = nibabel.load(path)
    moved = image.affine.copy()
    moved[0, 3] += 30
    image.set_qform(moved, 1)
    image.to_filename(tmp_path / "b.hdr")
    assert "30 mm apart" in header_remarks(tmp_path / "b.hdr")[0]


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_skewed_axes_of_other_formats(tmp_path: Path, suffix: str) -> None:
    path = by_itk(tmp_path / f"a{suffix}")
    line = next(line for line in path.read_bytes().split(b"\n") if line.startswith((b"TransformMatrix", b"space dir")))
    upright = (
        b"TransformMatrix = 1 0 0 {lean} 1 0 0 0 1"
        if suffix == ".mha"
        else b"space directions: (0.7,0,0) ({lean},1.5,0) (0,0,4)"
    )
    whole = path.read_bytes()
    for lean, found in ((0.005, "degrees from right angles: the nearest"), (0.2, "")):
        path.write_bytes(whole.replace(line, upright.replace(b"{lean}", str(lean).encode())))
        if found:
            assert found in header_remarks(path)[0]
        else:
            with pytest.raises(DataError, match="degrees from right angles"):
                read_volume(path)
