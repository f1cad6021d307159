"""Files that do not hold what their headers promise, or say that it lies elsewhere."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.formats.integrity import check_claim, check_finite, detached_voxels, read_exactly, unpacked
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError
from tests.data.formats.scene import by_itk, by_nibabel
from tests.data.volumes import IDENTITY, nifti, volume


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


def noisy(path: Path) -> None:
    """A file of some size that cannot be packed well."""
    array = np.random.default_rng(1).integers(0, 30_000, (1, 20, 60, 50)).astype(np.int16)
    write_volume(path, Volume(array, Geometry((20, 60, 50), (4.0, 1.0, 2.0), (1.0, 2.0, 3.0), IDENTITY)))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_a_file_that_was_cut_off(tmp_path: Path, suffix: str, share: float) -> None:
    """ITK reads such a .nii.gz without a complaint."""
    path = tmp_path / f"cut{suffix}"
    noisy(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=f"cut{suffix}"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("at", [0.5, 0.9])
def test_a_file_with_a_wrong_byte(tmp_path: Path, suffix: str, at: float) -> None:
    path = tmp_path / f"bad{suffix}"
    noisy(path)
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"bad{suffix}"):
        read_volume(path)


def test_a_slice_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    array = np.random.default_rng(0).integers(0, 255, (1, 1, 90, 80)).astype(np.uint8)
    write_volume(path, Volume(array, Geometry((1, 90, 80), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), IDENTITY, 2)))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"a\.png"):
        read_volume(path)


@pytest.mark.parametrize("packed", [False, True])
def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a.nii"
    write_volume(path, volume())
    nifti(path, size=("8h", 40, (3, 32_000, 32_000, 32_000, 1, 1, 1, 1)))
    if packed:
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.nii.gz"
    with pytest.raises(DataError, match=r"a\.nii.*cut off.*\n.*32768000000000 bytes"):
        read_volume(path)


def test_an_absurd_nrrd_or_mha_is_refused(tmp_path: Path) -> None:
    for suffix, old, new in (
        (".nrrd", b"sizes: 5 4 3", b"sizes: 50000 40000 3000"),
        (".mha", b"5 4 3", b"5000 4000 300"),
    ):
        path = tmp_path / f"a{suffix}"
        write_volume(path, volume())
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))
        with pytest.raises(DataError, match="cut off"):
            read_volume(path)


def test_a_header_may_not_point_elsewhere(tmp_path: Path) -> None:
    for suffix, old, new in (
        (".mha", b"ElementDataFile = LOCAL", b"ElementDataFile = other.raw"),
        (".nrrd", b"encoding:", b"data file: other.raw\nencoding:"),
    ):
        path = tmp_path / f"a{suffix}"
        write_volume(path, volume())
        (tmp_path / "other.raw").write_bytes(bytes(500))
        path.write_bytes(path.read_bytes().replace(old, new))
        with pytest.raises(DataError, match="names another file"):
            read_volume(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_voxels_that_are_no_numbers(tmp_path: Path, suffix: str, dtype: Any) -> None:
    """ITK reads those of NIfTI files as 0."""
    image = volume(dtype=dtype)
    image.array[0, 1, 2, 3] = np.nan
    image.array[0, 2, 2, 3] = -np.inf
    write_volume(tmp_path / f"a{suffix}", image)
    with pytest.raises(DataError, match="2 voxels are NaN"):
        read_volume(tmp_path / f"a{suffix}")


@pytest.mark.parametrize(("held", "most"), [(10, 268_435_456), (300_000, 309_600_000)])
def test_deflate_makes_no_more_than_1032_bytes_of_one(tmp_path: Path, held: int, most: int) -> None:
    """Up to 256 MB a wrong claim costs nothing."""
    path = tmp_path / "a.nii.gz"
    path.write_bytes(bytes(held))
    check_claim(path, most)
    with pytest.raises(DataError, match=f"it holds {held} bytes\nExpected: {most + 1} bytes"):
        check_claim(path, most + 1)


def test_a_part_of_a_stream_to_the_byte(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"header12345")
    with path.open("rb") as file:
        assert read_exactly(path, file, 6, 5) == b"12345"
    with path.open("rb") as file, pytest.raises(DataError, match="it holds 5 bytes\nExpected: 6 bytes"):
        read_exactly(path, file, 6, 6)


def test_a_checksum_behind_what_is_wanted_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    packed = gzip.compress(b"header12345, and more")
    path.write_bytes(packed)
    with path.open("rb") as file:
        assert read_exactly(path, unpacked(file), 6, 5) == b"12345"
    path.write_bytes(packed[:-8] + bytes(4) + packed[-4:])
    with path.open("rb") as file, pytest.raises(DataError, match="damaged or cut off .*CRC"):
        read_exactly(path, unpacked(file), 6, 5)


def test_where_the_voxels_lie_by_the_header(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(b"")
    for name, text, holder in (
        ("a.mha", "NDims = 3\nElementDataFile = LOCAL\n", None),
        ("a.mhd", "NDims = 3\nElementDataFile = a.raw\n", "a.raw"),
        ("a.nrrd", "NRRD0004\nencoding: raw\n\ndata file: a.raw\n", None),  # behind the empty line are voxels
        ("a.nhdr", "NRRD0004\r\nDataFile: a.raw\r\nencoding: raw\r\n\r\n", "a.raw"),
        ("a.nii", "ElementDataFile = a.raw\n", None),
    ):
        (tmp_path / name).write_text(text, newline="")
        assert detached_voxels(tmp_path / name) == (holder and tmp_path / holder), name


def test_what_is_no_number_is_counted() -> None:
    path = Path("a.nii")
    check_finite(path, np.array([1, 2]))
    check_finite(path, np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="3 voxels are NaN or infinite"):
        check_finite(path, np.array([1.0, np.nan, np.inf, -np.inf]))
