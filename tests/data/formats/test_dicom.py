from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEGLSLossless, RLELossless, generate_uid

from autospine.data.formats.dicom import describe_series, read_series
from autospine.data.formats.dicom_seg import read_segmentation, segment_names
from autospine.data.geometry import Geometry, Volume, same_grid, to_canonical
from autospine.data.volume import read_channels, read_geometry, read_volume
from autospine.errors import DataError
from tests.data.dicom_files import write_enhanced, write_series

SHAPE = (6, 8, 10)
ARRAY = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)


def sagittal(tilt: float = 0.1) -> Geometry:
    """Slices from right to left, turned a little about the body's axis, as scanners give them."""
    cosine, sine = float(np.cos(tilt)), float(np.sin(tilt))
    columns = np.array([[-sine, cosine, 0.0], [0.0, 0.0, -1.0], [-cosine, -sine, 0.0]]).T  # X, Y, Z
    return Geometry(SHAPE, (4.4, 0.9, 0.7), (30.5, -120.25, 310.125), tuple(columns.ravel().tolist()))


GRID = sagittal()


def same(volume: Volume, array: np.ndarray = ARRAY, geometry: Geometry = GRID) -> None:
    """Whatever the direction of its slices: the same voxels at the same places."""
    found, wanted = to_canonical(volume), to_canonical(Volume(array[None], geometry))
    assert same_grid(found.geometry, wanted.geometry, 1e-4) is None
    np.testing.assert_array_equal(found.array, wanted.array)


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


def colour(index: int, header: FileDataset) -> None:
    header.SamplesPerPixel = 3


def homeless(index: int, header: FileDataset) -> None:
    if index == 1:
        del header.ImagePositionPatient


def nowhere(index: int, header: FileDataset) -> None:
    header.ImagePositionPatient = ["nan", "0", "0"]


def larger(index: int, header: FileDataset) -> None:
    if index == 4:
        header.Rows, header.Columns = 10, 8


def wider(index: int, header: FileDataset) -> None:
    if index == 4:
        header.PixelSpacing = [0.9, 0.75]


def flat(index: int, header: FileDataset) -> None:
    header.PixelSpacing = [0.9, 0]


def unplaced(index: int, header: FileDataset) -> None:
    header.NumberOfFrames = 2


def short(index: int, header: FileDataset) -> None:
    header.PixelData = header.PixelData[:40]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (shifted, r"slices stacked 10\.3 degrees off their normal"),
        (stretched, r"slices 6\.1 mm apart between IM0003.dcm and IM0004.dcm, 4\.4 mm elsewhere"),
        (crossed, "different planes"),
        (colour, "a colour image"),
        (homeless, r"IM0001.dcm: no ImagePositionPatient"),
        (nowhere, "an unusable ImagePositionPatient"),
        (larger, "slices of 8 x 10 and 10 x 8"),
        (wider, "voxels of 0.9 x 0.7 and 0.9 x 0.75 mm"),
        (flat, "positive spacing"),
        (unplaced, "2 frames without a position each"),
        (short, r"IM000\d.dcm: (cannot|damaged or cut off)"),
    ],
)
def test_what_is_no_regular_grid_is_refused(
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


def test_reports_and_other_files_are_no_slices(tmp_path: Path) -> None:
    write_series(tmp_path, ARRAY, GRID)
    report = dcmread(tmp_path / "IM0000.dcm")
    report.Modality, report.SeriesInstanceUID = "SR", generate_uid()
    report.save_as(tmp_path / "report.dcm")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "notes.txt").write_text("nothing")
    same(read_volume(tmp_path))


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


def write_segmentation(root: Path) -> tuple[Path, np.ndarray]:
    """A series and a DICOM-SEG object of two segments on some of its slices."""
    import highdicom as hd

    sources = [dcmread(path) for path in write_series(root / "series", ARRAY, GRID)]
    mask = np.zeros(SHAPE, np.uint8)
    mask[1:3, 2:5, 3:7], mask[3, 2:4, 1:3] = 1, 2
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=hd.sr.CodedConcept("123037004", "SCT", "Anatomical structure"),
            segmented_property_type=hd.sr.CodedConcept("51282000", "SCT", "Vertebra"),
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, label in enumerate(("L5", "L4"), 1)
    ]
    segmentation = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
    )
    path = root / "seg.dcm"
    segmentation.save_as(path)
    return path, mask


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
