"""Siemens mosaics."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from autospine.data.volume import read_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_enhanced, write_series
from tests.data.sagittal_series import ARRAY, GRID, same


def tiled(index: int, header: FileDataset) -> None:
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]


def counted(index: int, header: FileDataset) -> None:
    header.ImageType = ["DERIVED", "PRIMARY"]
    header.private_block(0x19, "OTHER", create=True).add_new(0x0A, "US", 3)
    header.private_block(0x19, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 12)


def told_by_the_scanner(index: int, header: FileDataset) -> None:
    """One element of a CSA header: name, numbers, then an item of twelve in text."""
    name = b"NumberOfImagesInMosaic".ljust(64, b"\0")
    element = name + struct.pack("<i4siii", 1, b"US\0\0", 0, 1, 77) + struct.pack("<4i", 3, 3, 77, 3) + b"12\0\0"
    value = b"SV10\4\3\2\1" + struct.pack("<ii", 1, 77) + element
    header.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", value)


@pytest.mark.parametrize(
    ("change", "found"),
    [(tiled, "all slices of a volume as tiles"), (counted, "12 slices as tiles"), (told_by_the_scanner, "12 slices")],
)
def test_a_mosaic_is_no_slice(tmp_path: Path, change: Callable[[int, FileDataset], None], found: str) -> None:
    (path,) = write_series(tmp_path / "p1", ARRAY[:1], GRID, change=change)
    for place in (path, path.parent):
        with pytest.raises(DataError, match=rf"a mosaic \(Siemens\): {found}[\s\S]*dcm2niix"):
            read_volume(place)


def one_of_many(index: int, header: FileDataset) -> None:
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    block = header.private_block(0x19, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", 1)
    header.private_block(0x29, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"SV10" + bytes(40))


def test_other_siemens_images_are_no_mosaics(tmp_path: Path) -> None:
    write_series(tmp_path / "classic", ARRAY, GRID, change=one_of_many)
    same(read_volume(tmp_path / "classic"))
    path = write_enhanced(tmp_path / "enhanced.dcm", ARRAY, GRID, list(range(len(ARRAY))))
    enhanced = dcmread(path)
    tiled(0, enhanced)
    enhanced.save_as(path)
    same(read_volume(path))
