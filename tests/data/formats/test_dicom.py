"""DICOM series: slices that make a regular grid, and those that do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from autospine.data.formats.dicom import describe_series, read_series
from autospine.data.volume import read_channels, read_geometry, read_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_series
from tests.data.sagittal_series import ARRAY, GRID, same


def test_a_real_series_is_its_reference(real_data: Callable[[str], Path]) -> None:
    folder = real_data("dicom-t2-lumbar")
    reference = read_volume(folder / "reference.nii.gz")
    same(read_volume(folder), reference.array[0], reference.geometry)


def test_slices_are_sorted_by_their_positions(tmp_path: Path) -> None:
    order = np.random.default_rng(1).permutation(len(ARRAY))

    def renumber(index: int, header: FileDataset) -> None:
        header.InstanceNumber = int(order[index]) + 1

    write_series(tmp_path, ARRAY, GRID, names=lambda index: f"{order[index]:03d}", change=renumber)
    same(read_series(tmp_path))
    assert read_geometry(tmp_path) == read_series(tmp_path).geometry
    assert read_channels(tmp_path) == 1
    assert describe_series(tmp_path).modality == "MR"


def test_a_slice_is_missing(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, GRID)[2].unlink()
    with pytest.raises(DataError, match=r"1 slice missing between IM000\d.dcm and IM000\d.dcm") as fault:
        read_volume(tmp_path)
    assert {"IM0001.dcm", "IM0003.dcm"} <= set(fault.value.found.split())
    assert "every 4.4 mm" in fault.value.expected


def test_a_copy_of_a_slice_is_read_once(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ARRAY, GRID)
    shutil.copy(paths[3], tmp_path / "copy of IM0003.dcm")
    same(read_volume(tmp_path))


def test_two_slices_at_one_place(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ARRAY, GRID)
    other = dcmread(paths[3])
    other.PixelData = bytes(reversed(other.PixelData))
    other.save_as(tmp_path / "echo2.dcm")
    with pytest.raises(DataError, match=r"two different slices at one place") as fault:
        read_volume(tmp_path)
    assert "IM0003.dcm" in fault.value.found and "echo2.dcm" in fault.value.found


def test_two_series_in_one_folder(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, GRID)
    write_series(tmp_path, ARRAY[:4], GRID, names="scout{:02d}".format)
    with pytest.raises(DataError, match=r"2 series \(number 1: 6 slices of 8 x 10[^)]*number 1: 4 slices"):
        read_volume(tmp_path)


def shifted(index: int, header: FileDataset) -> None:
    header.ImagePositionPatient = [a + 0.8 * index * b for a, b in zip(header.ImagePositionPatient, (0, 0, 1))]  # noqa: B905


def stretched(index: int, header: FileDataset) -> None:
    if index > 3:
        normal = GRID.axes()[:, 0]
        header.ImagePositionPatient = [a + 1.7 * b for a, b in zip(header.ImagePositionPatient, normal, strict=True)]


def crossed(index: int, header: FileDataset) -> None:
    if index == 2:
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def larger(index: int, header: FileDataset) -> None:
    if index == 4:
        header.Rows, header.Columns = 10, 8


def wider(index: int, header: FileDataset) -> None:
    if index == 4:
        header.PixelSpacing = [0.9, 0.75]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (shifted, r"slices stacked 10\.3 degrees off their normal"),
        (stretched, r"slices 6\.1 mm apart between IM0003.dcm and IM0004.dcm, 4\.4 mm elsewhere"),
        (crossed, "different planes"),
        (larger, "slices of 8 x 10 and 10 x 8"),
        (wider, "voxels of 0.9 x 0.7 and 0.9 x 0.75 mm"),
    ],
)
def test_what_is_no_regular_grid_is_refused(
    tmp_path: Path, change: Callable[[int, FileDataset], None], found: str
) -> None:
    write_series(tmp_path, ARRAY, GRID, change=change)
    with pytest.raises(DataError, match=found):
        read_volume(tmp_path)


def test_reports_and_other_files_are_no_slices(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, GRID)
    report = dcmread(tmp_path / "IM0000.dcm")
    report.Modality, report.SeriesInstanceUID = "SR", generate_uid()
    report.save_as(tmp_path / "report.dcm")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "notes.txt").write_text("nothing")
    same(read_volume(tmp_path))
