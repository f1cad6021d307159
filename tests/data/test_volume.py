"""Images and masks of every format, read and written."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from autospine.data.geometry import (
    Geometry,
    Orientation,
    Volume,
    canonical_orientation,
    restore,
    same_grid,
    to_canonical,
)
from autospine.data.volume import WRITTEN_AS, read_channels, read_geometry, read_volume, stem, suffix_of, write_volume
from autospine.errors import DataError, OutputError
from tests.data.formats.scene import ARRAY, GRID, by_itk, by_nibabel
from tests.data.volumes import IDENTITY, ORIENTATIONS, nifti, rotation, volume


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


@pytest.mark.parametrize(
    ("suffix", "tilt"), [(".nii", (0, 0, 0)), (".nii", (12, -9, 17)), (".mha", (12, -9, 17)), (".nrrd", (12, -9, 17))]
)
def test_all_orders_and_flips_through_a_file(tmp_path: Path, suffix: str, tilt: tuple[int, int, int]) -> None:
    """One scene stored in 48 ways reads as one canonical image, and a result goes back onto each file's grid."""
    scene = volume(rotation(*tilt))
    for number, storage in enumerate(ORIENTATIONS):
        path = tmp_path / f"{number}{suffix}"
        write_volume(path, to_canonical(scene, storage))
        stored = read_volume(path)
        canonical = to_canonical(stored)
        np.testing.assert_array_equal(canonical.array, scene.array)
        assert same_grid(canonical.geometry, scene.geometry, 1e-4) is None
        assert canonical.geometry.spacing_mm == pytest.approx(scene.geometry.spacing_mm)
        result = restore(canonical.array, canonical_orientation(stored.geometry))
        np.testing.assert_array_equal(result, stored.array)
        write_volume(tmp_path / f"result{suffix}", Volume(result, stored.geometry, stored.metadata))
        again = read_volume(tmp_path / f"result{suffix}")
        np.testing.assert_array_equal(again.array, stored.array)
        assert same_grid(again.geometry, stored.geometry, 1e-5) is None


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".tif", ".tiff"])
def test_two_dimensions_stay_two(tmp_path: Path, suffix: str) -> None:
    array = np.arange(20, dtype=np.uint8).reshape(1, 1, 4, 5)
    path = tmp_path / f"slice{suffix}"
    write_volume(path, Volume(array, Geometry((1, 4, 5), (1.0, 2.0, 0.5), (0.0, 0.0, 0.0), IDENTITY, 2)))
    back = read_volume(path)
    assert back.geometry.dimension == 2
    assert back.geometry.shape == (1, 4, 5)
    # what a picture has is a printer's resolution
    spacing_mm = (1.0, 1.0, 1.0) if suffix in (".png", ".tif", ".tiff") else (1.0, 2.0, 0.5)
    assert back.geometry.spacing_mm == pytest.approx(spacing_mm)
    np.testing.assert_array_equal(back.array, array)
    assert canonical_orientation(back.geometry) == Orientation()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".mha", ".nrrd", ".nii.gz"])
def test_rgb_is_three_channels(tmp_path: Path, suffix: str) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 1, 4, 5)
    path = tmp_path / f"photo{suffix}"
    write_volume(path, Volume(array, Geometry((1, 4, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY, 2)))
    assert read_channels(path) == 3
    np.testing.assert_array_equal(read_volume(path).array, array)


def test_one_slice_stays_a_volume(tmp_path: Path) -> None:
    one = Volume(np.ones((1, 1, 4, 5), np.uint8), replace(volume(rotation(0, 0, 9)).geometry, shape=(1, 4, 5)))
    write_volume(tmp_path / "a.nii.gz", one)
    back = read_geometry(tmp_path / "a.nii.gz")
    assert back.dimension == 3
    assert same_grid(back, one.geometry, 1e-5) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 1, 255], np.int64), np.uint8),
        (np.array([0, 256, 3], np.int32), np.uint16),
        (np.array([0, 70_000, 3], np.int64), np.uint32),
        (np.array([True, False, True]), np.uint8),
        (np.array([-1, 2, 3], np.int16), np.int16),
        (np.array([0.5, 1, 2], np.float32), np.float32),
    ],
)
def test_labels_take_the_smallest_type(tmp_path: Path, values: npt.NDArray[Any], expected: type) -> None:
    geometry = Geometry((1, 1, 3), (1.0, 2.0, 3.0), (0.0, 0.0, 0.0), IDENTITY)
    write_volume(tmp_path / "a.nii", Volume(values.reshape(1, 1, 1, 3), geometry))
    back = read_volume(tmp_path / "a.nii").array
    assert back.dtype == expected
    np.testing.assert_array_equal(back.ravel(), values)


@pytest.mark.parametrize("packed", [False, True])
def test_a_result_keeps_notes_and_codes_of_a_nifti_file(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.nii"
    write_volume(path, volume(rotation(3, 4, 5)))
    nifti(path, note=("9s", 148, (b"scanner 7",)), codes=("2h", 252, (2, 4)), scaling=("2f", 112, (2.5, 10.0)))
    image = read_volume(path)
    assert image.array.max() == pytest.approx(59 * 2.5 + 10)
    result = tmp_path / ("result.nii.gz" if packed else "result.nii")
    write_volume(result, replace(image, array=np.ones(image.array.shape, np.uint8)))
    header = gzip.decompress(result.read_bytes()) if packed else result.read_bytes()
    assert header[148:157] == b"scanner 7"
    assert struct.unpack_from("<2h", header, 252) == (2, 4)
    assert same_grid(read_geometry(result), image.geometry, 1e-5) is None
    np.testing.assert_array_equal(read_volume(result).array, 1)  # the input's scaling is not a result's


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_a_result_keeps_the_users_fields(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_volume(path, replace(volume(), metadata=(("Sequence", "T2 TSE"),)))
    assert read_volume(path).metadata == (("Sequence", "T2 TSE"),)


def test_files_of_equal_content_are_equal(tmp_path: Path) -> None:
    for suffix in (".nii.gz", ".mgz"):
        for name in ("a", "b"):
            write_volume(tmp_path / f"{name}{suffix}", volume())
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_an_affine_that_is_no_number(tmp_path: Path, number: float) -> None:
    path = tmp_path / "a.nii"
    write_volume(path, volume())
    nifti(path, codes=("2h", 252, (0, 1)), affine=("f", 280, (number,)))
    with pytest.raises(DataError, match=r"a\.nii"):
        read_volume(path)
    nifti(path, affine=("f", 280, (-0.7,)), origin=("f", 292, (number,)))
    with pytest.raises(DataError, match=r"a\.nii"):
        read_volume(path)


def test_a_sheared_affine(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    write_volume(path, volume())
    nifti(path, codes=("2h", 252, (0, 1)), affine=("4f", 280, (1.0, 0.5, 0.0, 0.0)))
    with pytest.raises(DataError, match=r"a\.nii"):
        read_volume(path)


def test_the_fourth_dimension_is_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    written = volume()
    write_volume(path, written)
    nifti(path, size=("8h", 40, (4, 5, 2, 3, 2, 1, 1, 1)))
    read = read_volume(path)
    assert read.array.shape == (2, 3, 2, 5) and read_channels(path) == 2
    np.testing.assert_array_equal(read.array.ravel(), written.array.ravel())
    assert read.geometry.dimension == 3
    assert read.geometry.spacing_mm == pytest.approx(written.geometry.spacing_mm)
    write_volume(tmp_path / "b.nii", Volume(read.array[:1], read.geometry))
    assert read_volume(tmp_path / "b.nii").geometry == read.geometry


def test_five_dimensions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    write_volume(path, volume())
    nifti(path, size=("8h", 40, (5, 5, 2, 3, 1, 2, 1, 1)))
    with pytest.raises(DataError, match="5 dimensions"):
        read_volume(path)


def test_the_voxel_size_of_a_tiff_volume_stands_beside_it(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(1, 3, 4, 5)
    write_volume(tmp_path / "a_0000.tif", Volume(array, replace(volume().geometry, shape=(3, 4, 5))))
    (tmp_path / "a.json").write_text('{"spacing": [4, 1.5, 0.7]}')
    assert read_geometry(tmp_path / "a_0000.tif").spacing_mm == (4.0, 1.5, 0.7)
    (tmp_path / "a.json").write_text('{"spacing": "4"}')
    with pytest.raises(DataError, match=r"a\.json[\s\S]*three sizes"):
        read_volume(tmp_path / "a_0000.tif")


def test_what_is_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    (tmp_path / "a.txt").write_text("text")
    for name, found in (("a.nii.gz", "cannot be read"), ("a.txt", "not an image format"), ("b.nii", "no such file")):
        with pytest.raises(DataError, match=found):
            read_volume(tmp_path / name)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="format"):
        write_volume(tmp_path / "a.txt", volume())
    with pytest.raises(OutputError, match=r"a\.png"):
        write_volume(tmp_path / "a.png", volume(dtype=np.float64))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"a\.nii"):
        write_volume(tmp_path / "file" / "a.nii", volume())
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]
    with pytest.raises(ValueError, match="grid"):
        write_volume(tmp_path / "a.nii", replace(volume(), array=np.zeros((1, 2, 3, 4))))


def test_names() -> None:
    assert stem(Path("x/case.1.nii.gz")) == "case.1"
    assert stem(Path("CASE.NII.GZ")) == "CASE"
    assert stem(Path("a.tiff")) == "a"
    assert suffix_of(Path("a.tiff")) == ".tiff"
    assert suffix_of(Path("a.gz")) == suffix_of(Path(".nii.gz")) == ""


def test_a_nifti_file_of_the_other_byte_order(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii", volume(dtype=np.float32))
    content = (tmp_path / "a.nii").read_bytes()
    header = np.zeros(352, np.uint8)
    for form, places in (("i4", [0]), ("i2", [*range(40, 56, 2), 70, 72, 252, 254]), ("f4", [*range(76, 124, 4)])):
        for at in places:
            size = int(form[1])
            header[at : at + size] = np.frombuffer(content[at : at + size], np.uint8)[::-1]
    header[256:328].view(">f4")[:] = np.frombuffer(content[256:328], "<f4")
    header[344:348] = np.frombuffer(content[344:348], np.uint8)
    voxels = np.frombuffer(content[352:], "<f4").astype(">f4")
    (tmp_path / "a.nii").write_bytes(header.tobytes() + voxels.tobytes())
    back = read_volume(tmp_path / "a.nii")
    np.testing.assert_array_equal(back.array, volume(dtype=np.float32).array)
    assert same_grid(back.geometry, volume().geometry, 1e-5) is None
    (tmp_path / "a.nii").write_bytes(header.tobytes() + voxels.tobytes()[:-1])
    with pytest.raises(DataError, match="holds 239 bytes"):
        read_volume(tmp_path / "a.nii")
