from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset
from pydicom.tag import Tag
from pydicom.uid import UID

from autospine.data.codes.structures import structures_of
from autospine.data.formats.dicom_seg import read_segmentation, segment_names
from autospine.data.formats.dicom_seg_writing import check_dicom_seg, segment_numbers, write_dicom_seg
from autospine.data.geometry import Volume, same_grid
from autospine.data.made_by import MadeBy
from autospine.data.volume import read_volume
from autospine.errors import OutputError
from tests.data.dicom_files import PATIENT, PATIENT_ID, write_enhanced, write_series
from tests.data.orientations import SHAPE, grid, orientations

STRUCTURES = structures_of([("L5", 1), ("L4", 2), ("right ES", 7), ("never there", 9)])
MADE_BY = MadeBy("3d_fullres", "0123456789abcdef" * 4, "9.8.7", datetime(2026, 3, 4, 5, 6, 7))
GRID = grid(np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))


def labelled(shape: tuple[int, ...] = SHAPE, seed: int = 0) -> np.ndarray:
    """Random voxels of each structure but the last, and an empty first slice."""
    array = np.random.default_rng(seed).choice(np.array([0, 1, 2, 7], np.uint8), shape)
    array[0] = 0
    return array


def series(folder: Path, geometry=GRID, **more) -> Path:  # type: ignore[no-untyped-def]
    write_series(folder, np.random.default_rng(1).integers(0, 900, geometry.shape), geometry, **more)
    return folder


def segmented(source: Path, target: Path, structures=STRUCTURES, seed: int = 0):  # type: ignore[no-untyped-def]
    """The object's header, the labels that were written, and the image's grid."""
    image = read_volume(source)
    labels = labelled(image.array.shape[1:], seed)
    write_dicom_seg(target, Volume(labels[None], image.geometry), structures, source, MADE_BY)
    return dcmread(target), labels, image.geometry


def put(header: FileDataset, key: str, kind: str, value: bytes) -> None:
    """Give a header a value that no library would."""
    header[key] = RawDataElement(Tag(key), kind, len(value), value, 0, False, True)


def as_numbers(labels: np.ndarray) -> np.ndarray:
    return np.select([labels == 1, labels == 2, labels == 7], [1, 2, 3], 0)


def placed(header: FileDataset) -> dict[tuple[int, int], np.ndarray]:
    """(segment, frame) -> place of the first voxel of each frame, as the file has it."""
    return {
        (int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber), index): np.array(
            frame.PlanePositionSequence[0].ImagePositionPatient, float
        )
        for index, frame in enumerate(header.PerFrameFunctionalGroupsSequence)
    }


@pytest.mark.parametrize("direction", orientations(), ids=range(48))
def test_of_every_orientation_it_lies_where_the_series_does(direction: np.ndarray, tmp_path: Path) -> None:
    source = series(tmp_path / "series", grid(direction))
    header, labels, geometry = segmented(source, tmp_path / "seg.dcm", STRUCTURES[:3])
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", geometry), as_numbers(labels))
    shared = header.SharedFunctionalGroupsSequence[0]
    along = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    np.testing.assert_allclose(along, geometry.axes()[:, [2, 1]].T, atol=1e-9)
    assert float(shared.PixelMeasuresSequence[0].SpacingBetweenSlices) == pytest.approx(
        geometry.spacing_mm[0], abs=1e-6
    )
    step = geometry.axes()[:, 0] * geometry.spacing_mm[0]
    slices = [np.array(geometry.origin_mm) + step * index for index in range(SHAPE[0])]
    voxels = header.pixel_array
    for (segment, index), place in placed(header).items():
        apart = [np.abs(place - one).max() for one in slices]
        nearest = int(np.argmin(apart))
        assert apart[nearest] < 1e-4
        np.testing.assert_array_equal(voxels[index], as_numbers(labels)[nearest] == segment)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_of_a_multi_frame_image_each_frame_is_that_of_its_source(order: list[int], tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "image.dcm", np.arange(60).reshape(SHAPE), GRID, order)
    header, labels, geometry = segmented(path, tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", geometry), as_numbers(labels))
    source = dcmread(path)
    for frame in header.PerFrameFunctionalGroupsSequence:
        referred = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert referred.ReferencedSOPInstanceUID == source.SOPInstanceUID
        of_source = source.PerFrameFunctionalGroupsSequence[int(referred.ReferencedFrameNumber) - 1]
        places = [one.PlanePositionSequence[0].ImagePositionPatient for one in (frame, of_source)]
        np.testing.assert_allclose(*np.array(places, float), atol=1e-6)


def test_it_belongs_to_patient_study_and_images_of_its_source(tmp_path: Path) -> None:
    def change(index: int, header: FileDataset) -> None:
        header.SpecificCharacterSet = "ISO_IR 100"
        header.PatientName = "Müller^Ægir"
        put(header, "PatientSex", "CS", b"X ")  # neither is a value that the standard knows
        put(header, "PatientBirthDate", "DA", b"unknown ")
        header.PatientAddress, header.PatientWeight, header.InstitutionName = "a street", 71.5, "a hospital"
        header.StudyDescription = "what the referral said"

    source = series(tmp_path / "series", change=change)
    header, labels, _ = segmented(source, tmp_path / "seg.dcm")
    first = dcmread(next(iter(sorted(source.iterdir()))))
    for key in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "StudyDate", "AccessionNumber", "PatientSex"):
        assert header[key].value == first[key].value, key
    assert str(header.PatientName) == "Müller^Ægir" and header["PatientBirthDate"].value == "unknown"
    assert header.SeriesInstanceUID != first.SeriesInstanceUID
    assert header.ReferencedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    images = {one.ReferencedSOPInstanceUID for one in header.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert images == {dcmread(path).SOPInstanceUID for path in source.iterdir()}
    text = str(header)
    assert not any(word in text for word in ("a street", "71.5", "a hospital", "what the referral said"))


def test_segments_are_those_of_the_model_with_codes_colours_and_who_made_them(tmp_path: Path) -> None:
    header, _, _ = segmented(series(tmp_path / "series"), tmp_path / "seg.dcm")
    assert segment_names(tmp_path / "seg.dcm") == (("L5", 1), ("L4", 2), ("right ES", 3), ("never there", 4))
    first, _, third, unknown = header.SegmentSequence
    kind = first.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("49668003", "SCT", "L5 vertebra")
    side = third.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Right"
    assert "SegmentDescription" not in first and "value 7 in label maps" in third.SegmentDescription
    assert unknown.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99AUTOSPINE"
    assert unknown.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "never there"
    algorithm = first.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("autospine", "9.8.7")
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert algorithm.AlgorithmParameters == f"model=3d_fullres; digest={MADE_BY.identity}"
    assert header["ContentCreatorName"].value == ""
    assert header.SegmentationType == "BINARY" and (header.ContentDate, header.ContentTime) == ("20260304", "050607")
    from highdicom.color import CIELabColor

    shown = CIELabColor.from_dicom_value(first.RecommendedDisplayCIELabValue).to_rgb()
    np.testing.assert_allclose(shown, STRUCTURES[0].colour, atol=2)


def test_the_same_question_gives_the_same_file_and_another_model_another_object(tmp_path: Path) -> None:
    source = series(tmp_path / "series")
    first, _, _ = segmented(source, tmp_path / "a.dcm")
    segmented(source, tmp_path / "b.dcm")
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    other, _, _ = segmented(source, tmp_path / "c.dcm", seed=5)
    assert other.SeriesInstanceUID == first.SeriesInstanceUID and other.SOPInstanceUID != first.SOPInstanceUID
    image = read_volume(source)
    labels = Volume(labelled(image.array.shape[1:])[None], image.geometry)
    write_dicom_seg(tmp_path / "d.dcm", labels, STRUCTURES, source, MadeBy("3d_fullres", "f" * 64))
    assert dcmread(tmp_path / "d.dcm").SeriesInstanceUID != first.SeriesInstanceUID
    assert all(UID(one).is_valid for one in (first.SOPInstanceUID, first.SeriesInstanceUID))


def test_where_nothing_was_found_there_is_an_object_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = series(tmp_path / "series")
    image = read_volume(source)
    empty = Volume(np.zeros_like(image.array, np.uint8), image.geometry)
    write_dicom_seg(tmp_path / "seg.dcm", empty, STRUCTURES, source, MADE_BY)
    assert len(segment_names(tmp_path / "seg.dcm")) == 4 and not caplog.records
    assert not read_segmentation(tmp_path / "seg.dcm", image.geometry).any()


def test_a_single_slice_and_headers_without_a_patient(tmp_path: Path) -> None:
    def change(index: int, header: FileDataset) -> None:
        for key in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber"):
            delattr(header, key)
        del header.SpacingBetweenSlices

    source = series(tmp_path / "series", grid(np.eye(3), (1, 5, 4)), change=change)
    image = read_volume(source)
    labels = np.ones((1, 1, 5, 4), np.uint8)
    write_dicom_seg(tmp_path / "seg.dcm", Volume(labels, image.geometry), STRUCTURES, source, MADE_BY)
    assert (read_segmentation(tmp_path / "seg.dcm", image.geometry) == 1).all()
    assert dcmread(tmp_path / "seg.dcm").PatientID in ("", None)


def test_slices_that_say_they_are_one_frame_are_slices(tmp_path: Path) -> None:
    def change(index: int, header: FileDataset) -> None:
        header.NumberOfFrames = 1

    _, labels, geometry = segmented(series(tmp_path / "series", change=change), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", geometry), as_numbers(labels))


def test_what_a_header_says_badly_and_nobody_needs_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(index: int, header: FileDataset) -> None:
        put(header, "SliceThickness", "DS", b"3,5 mm")
        put(header, "PatientBirthDate", "DA", b"secret")

    header, labels, geometry = segmented(series(tmp_path / "series", change=change), tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_segmentation(tmp_path / "seg.dcm", geometry), as_numbers(labels))
    measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(geometry.spacing_mm[0])
    assert "secret" not in caplog.text


def test_slices_of_one_uid_cannot_be_told_apart(tmp_path: Path) -> None:
    def change(index: int, header: FileDataset) -> None:
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"

    with pytest.raises(OutputError, match="slices of the same SOPInstanceUID"):
        check_dicom_seg(series(tmp_path / "series", change=change))


def test_a_series_that_cannot_be_referred_to_is_refused_before(tmp_path: Path) -> None:
    def change(index: int, header: FileDataset) -> None:
        del header.FrameOfReferenceUID

    with pytest.raises(OutputError, match=r"no FrameOfReferenceUID in its header.*\n(.*\n)*.*--format nifti"):
        check_dicom_seg(series(tmp_path / "series", change=change))


def test_other_grids_and_values_of_nothing_are_faults_of_ours(tmp_path: Path) -> None:
    source = series(tmp_path / "series")
    elsewhere = Volume(np.zeros((1, *SHAPE), np.uint8), grid(np.eye(3)))
    with pytest.raises(ValueError, match="another grid"):
        write_dicom_seg(tmp_path / "seg.dcm", elsewhere, STRUCTURES, source, MADE_BY)
    with pytest.raises(ValueError, match=r"values of no structure: \[3\]"):
        segment_numbers(np.array([0, 1, 3]), STRUCTURES)
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools are not installed")
def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    segmented(series(tmp_path / "series"), tmp_path / "seg.dcm")
    said = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True, check=False).stderr
    assert "Segmentation" in said and "Error" not in said, said


def reader_of_dcmqi() -> str | None:
    return shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent)) or shutil.which("segimage2itkimage")


@pytest.mark.skipif(reader_of_dcmqi() is None, reason="dcmqi is not installed")
def test_dcmqi_reads_the_same_voxels_at_the_same_places(tmp_path: Path) -> None:
    _, labels, geometry = segmented(series(tmp_path / "series"), tmp_path / "seg.dcm")
    (tmp_path / "read").mkdir()
    command = [reader_of_dcmqi(), "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path / "read"]
    subprocess.run([*command, "-t", "nrrd", "-p", "s"], capture_output=True, check=True)  # type: ignore[list-item]
    from autospine.data.masks.placing import place

    for number, value in ((1, 1), (2, 2), (3, 7)):
        read = read_volume(tmp_path / "read" / f"s-{number}.nrrd")
        # it keeps the slices that hold a segment: each of its voxels must lie on one of the image's
        laid = place((read.array[0] > 0).astype(np.uint8), read.geometry, geometry, tmp_path, "image")
        np.testing.assert_array_equal(laid > 0, labels == value)
        inner = same_grid(read.geometry, geometry, 1e-4)
        assert inner is None or "voxels against" in inner


def test_a_file_that_holds_a_patient_names_no_other(tmp_path: Path) -> None:
    header, _, _ = segmented(series(tmp_path / "series"), tmp_path / "seg.dcm")
    assert str(header.PatientName) == PATIENT and header.PatientID == PATIENT_ID
