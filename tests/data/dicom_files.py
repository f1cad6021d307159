"""DICOM files for tests, written from volumes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

from autospine.data.geometry import Geometry

PATIENT = "DOE^JANE"
PATIENT_ID = "HOSPITAL-4711"


def slice_header(path: Path, geometry: Geometry, uid: str, study: str, patient: str = PATIENT_ID) -> FileDataset:
    """A header with all that does not depend on the slice."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    header.Modality, header.SeriesInstanceUID, header.StudyInstanceUID = "MR", uid, study
    header.FrameOfReferenceUID = generate_uid(entropy_srcs=[study])
    header.PatientName, header.PatientID, header.PatientBirthDate, header.PatientSex = PATIENT, patient, "19500101", "F"
    header.StudyDate, header.StudyTime, header.AccessionNumber, header.StudyID = "20200102", "101112", "4712", "1"
    header.ReferringPhysicianName, header.Manufacturer, header.SeriesNumber, header.InstanceNumber = "", "none", 1, 1
    axes = geometry.axes()
    header.ImageOrientationPatient = [float(f"{value:.12g}") for value in (*axes[:, 2], *axes[:, 1])]
    header.PixelSpacing = [geometry.spacing_mm[1], geometry.spacing_mm[2]]
    header.SliceThickness = header.SpacingBetweenSlices = geometry.spacing_mm[0]
    header.Rows, header.Columns = geometry.shape[1], geometry.shape[2]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    return header


def position(geometry: Geometry, index: int) -> list[float]:
    """Of the first voxel of a slice."""
    place = np.asarray(geometry.origin_mm) + geometry.axes()[:, 0] * geometry.spacing_mm[0] * index
    return [float(f"{value:.12g}") for value in place]


def write_series(
    folder: Path,
    array: npt.NDArray[Any],
    geometry: Geometry,
    *,
    names: Callable[[int], str] = lambda index: f"IM{index:04d}.dcm",
    change: Callable[[int, FileDataset], None] = lambda index, header: None,
    uid: str | None = None,
    study: str | None = None,
    patient: str = PATIENT_ID,
) -> list[Path]:
    """A file per slice of an array (Z, Y, X) of uint16; `change` edits a header before it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    uid, study = uid or generate_uid(), study or generate_uid()
    paths = []
    for index, plane in enumerate(array):
        path = folder / names(index)
        header = slice_header(path, geometry, uid, study, patient)
        header.InstanceNumber = index + 1
        header.ImagePositionPatient = position(geometry, index)
        header.PixelData = np.ascontiguousarray(plane.astype(np.uint16)).tobytes()
        change(index, header)
        header.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_enhanced(path: Path, array: npt.NDArray[Any], geometry: Geometry, order: list[int]) -> Path:
    """An enhanced multi-frame image with the slices of an array (Z, Y, X) in any order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = slice_header(path, geometry, generate_uid(), generate_uid())
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    orientation, measures, shared = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = header.ImageOrientationPatient
    measures.PixelSpacing, measures.SpacingBetweenSlices = header.PixelSpacing, header.SpacingBetweenSlices
    measures.SliceThickness = header.SliceThickness
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([orientation]), Sequence([measures])
    header.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for index in order:
        place, frame = Dataset(), Dataset()
        place.ImagePositionPatient = position(geometry, index)
        frame.PlanePositionSequence = Sequence([place])
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = Sequence(frames)
    header.NumberOfFrames = len(order)
    for key in ("ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness"):
        delattr(header, key)
    header.PixelData = np.ascontiguousarray(array[order].astype(np.uint16)).tobytes()
    header.save_as(path, enforce_file_format=True)
    return path
