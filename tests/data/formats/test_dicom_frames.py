"""Single slices and frames of DICOM files: where they lie, and their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLSLossless, RLELossless

from autospine.data.formats.dicom_frames import decode, frames_of, image_header, rescaled
from autospine.data.volume import read_geometry, read_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_enhanced, write_series
from tests.data.sagittal_series import ARRAY, GRID, same


def colour(index: int, header: FileDataset) -> None:
    header.SamplesPerPixel = 3


def homeless(index: int, header: FileDataset) -> None:
    if index == 1:
        del header.ImagePositionPatient


def nowhere(index: int, header: FileDataset) -> None:
    header.ImagePositionPatient = ["nan", "0", "0"]


def flat(index: int, header: FileDataset) -> None:
    header.PixelSpacing = [0.9, 0]


def unplaced(index: int, header: FileDataset) -> None:
    header.NumberOfFrames = 2


def short(index: int, header: FileDataset) -> None:
    header.PixelData = header.PixelData[:40]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (colour, "a colour image"),
        (homeless, r"IM0001.dcm: no ImagePositionPatient"),
        (nowhere, "an unusable ImagePositionPatient"),
        (flat, "positive spacing"),
        (unplaced, "2 frames without a position each"),
        (short, r"IM000\d.dcm: (cannot|damaged or cut off)"),
    ],
)
def test_what_is_no_slice_with_a_place_is_refused(
    tmp_path: Path, change: Callable[[int, FileDataset], None], found: str
) -> None:
    write_series(tmp_path, ARRAY, GRID, change=change)
    with pytest.raises(DataError, match=found):
        read_volume(tmp_path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.98])
def test_a_file_that_was_cut_off(tmp_path: Path, share: float) -> None:
    path = write_series(tmp_path, ARRAY, GRID)[2]
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match="IM0002.dcm"):
        read_volume(tmp_path)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 2, 0, 1, 4, 3]])
def test_an_enhanced_multi_frame_image(tmp_path: Path, order: list[int]) -> None:
    path = write_enhanced(tmp_path / "case" / "one.dcm", ARRAY, GRID, order)
    same(read_volume(path.parent))
    same(read_volume(path))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_compressed_slices(tmp_path: Path, syntax: str) -> None:
    for path in write_series(tmp_path, ARRAY, GRID):
        header = dcmread(path)
        header.compress(syntax)
        header.save_as(path)
    same(read_volume(tmp_path))


def test_stored_values_are_rescaled(tmp_path: Path) -> None:
    def scaled(index: int, header: FileDataset) -> None:
        header.RescaleSlope, header.RescaleIntercept = 1 + index, -3

    write_series(tmp_path, ARRAY, GRID, change=scaled)
    array = ARRAY * np.arange(1.0, 7)[:, None, None] - 3
    same(read_volume(tmp_path), array)


def test_one_slice_takes_its_thickness_from_the_header(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY[:1], GRID)
    assert read_geometry(tmp_path).spacing_mm == pytest.approx(GRID.spacing_mm)


def test_frames_are_rescaled_each_by_its_own_slope(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "one.dcm", ARRAY, GRID, [2, 0, 1, 5, 4, 3])
    header = dcmread(path)
    for index, frame in enumerate(header.PerFrameFunctionalGroupsSequence):
        values = Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = 2 + index, -index, "US"
        frame.PixelValueTransformationSequence = Sequence([values])
    header.save_as(path)
    factors = {slice_: frame for frame, slice_ in enumerate([2, 0, 1, 5, 4, 3])}
    wanted = np.stack([ARRAY[index] * (2.0 + factors[index]) - factors[index] for index in range(len(ARRAY))])
    same(read_volume(path), wanted)


def test_where_a_slice_lies_by_hand(tmp_path: Path) -> None:
    """Rows run down, columns back, turned by a tenth: at right angles to both it goes to the right."""
    path = write_series(tmp_path, ARRAY, GRID)[2]
    (frame,) = frames_of(path, image_header(path))
    cosine, sine = np.cos(0.1), np.sin(0.1)
    assert (frame.called, frame.rows, frame.columns) == ("IM0002.dcm", 8, 10)
    assert (frame.spacing_mm, frame.thickness_mm) == ((0.9, 0.7), 4.4)
    np.testing.assert_allclose(frame.along, [[-sine, cosine, 0], [0, 0, -1]], atol=1e-9)
    np.testing.assert_allclose(frame.normal, [-cosine, -sine, 0], atol=1e-9)
    np.testing.assert_allclose(frame.position, [30.5 - 8.8 * cosine, -120.25 - 8.8 * sine, 310.125])
    np.testing.assert_array_equal(decode(path), ARRAY[2:3])


def test_frames_of_one_file_are_told_apart(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "one.dcm", ARRAY, GRID, [2, 0, 1, 5, 4, 3])
    frames = frames_of(path, image_header(path))
    assert [frame.called for frame in frames[:2]] == ["one.dcm", "one.dcm, frame 2"]
    right = [float(frame.normal @ (frame.position - frames[1].position)) for frame in frames]
    np.testing.assert_allclose(right, [8.8, 0, 4.4, 22, 17.6, 13.2], atol=1e-9)


def test_values_by_the_slope_of_their_own_frame(tmp_path: Path) -> None:
    """GDCM has made 4 x 2 - 3 = 5 of the stored 2; its frame would have made 3 x 2 + 1 of it."""
    path = write_series(tmp_path, ARRAY, GRID)[0]
    (frame,) = frames_of(path, image_header(path))
    apart = replace(frame, rescale=(3.0, 1.0), rescaled=(4.0, -3.0))
    np.testing.assert_array_equal(rescaled(np.array([5, -3]), apart), [7, 1])
    values = np.array([5, -3])
    assert rescaled(values, replace(apart, rescale=(4.0, -3.0))) is values


def test_a_report_has_no_slices_and_what_is_no_dicom_is_damaged(tmp_path: Path) -> None:
    path = write_series(tmp_path, ARRAY[:1], GRID)[0]
    report = dcmread(path)
    report.Modality = "SR"
    report.save_as(path)
    assert image_header(path) is None
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 9)
    with pytest.raises(DataError, match="IM0000.dcm"):
        image_header(path)
