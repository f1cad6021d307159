"""Files that are something else than their names say."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume
from autospine.errors import DataError

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


@pytest.mark.parametrize(
    ("name", "content", "found", "remedy"),
    [
        ("a.nii.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS", "git lfs pull"),
        ("a.nii", b"../../.git/annex/objects/Xx/MD5E-s1--d41d.nii", "git-annex", "git annex get"),
        ("a.nii.gz", b"", "an empty file", "copy"),
        ("a.nrrd", b"  <html><body>404 Not Found</body></html>", "a web page", "download"),
        ("a.nii", gzip.compress(b"anything", mtime=0), "packed with gzip", "rename it to a.nii.gz"),
        ("a.mha", gzip.compress(b"anything", mtime=0), "packed with gzip", "unpack it"),
        ("a.nii.gz", b"PK\x03\x04" + bytes(400), "a ZIP archive", "unpack it"),
        ("a.nii.gz", b"BZh9" + bytes(400), "packed with bzip2", "unpack it"),
        ("a.nii", bytes(128) + b"DICM" + bytes(400), "a DICOM file", ".dcm"),
        ("a.nii", b"\x89PNG\r\n\x1a\n" + bytes(400), "a PNG image", "rename it"),
        ("a.nii.gz", b"NRRD0004\ntype: short\n", "an NRRD image", "rename it"),
    ],
)
def test_a_file_is_told_for_what_it_is(tmp_path: Path, name: str, content: bytes, found: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=found) as raised:
        read_volume(tmp_path / name)
    assert raised.value.where == str(tmp_path / name) and remedy in raised.value.remedy


@pytest.mark.parametrize("name", ["a.png", "a.nrrd"])
def test_a_damaged_file_of_its_own_kind_is_no_other(tmp_path: Path, name: str) -> None:
    write_volume(tmp_path / name, Volume(np.zeros((1, 1, 4, 5), np.uint8), Geometry((1, 4, 5), *_flat())))
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20])
    with pytest.raises(DataError, match="cannot be read as an image"):
        read_volume(tmp_path / name)


def _flat() -> tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, ...], int]:
    return (1.0, 1.5, 0.75), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="a pipe or a device, not a file"):
        read_volume(tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").mkdir()
    with pytest.raises(DataError, match="a folder, not a file|DICOM"):
        read_volume(tmp_path / "b.nii.gz")
