"""Segmentations as DICOM-SEG objects that refer to the series they were made of.

One object for each series: a multi-frame image of type BINARY, which 3D Slicer, OHIF and dcmqi read, with a segment for
each structure of the model in the order of its labels, also where a structure was not found. It belongs to patient,
study and frame of reference of its source, and each frame names the image that it lies on.

Of the source no more is copied than the standard asks for: patient and study as they identify themselves, and whether
they were de-identified. The UIDs are made of source, model and voxels (UUIDs, PS3.5 B.2): the same model on the same
series gives the object the same name again, and another model gives another.
"""

from __future__ import annotations

import copy
import hashlib
import math
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.codes.structures import OWN_SCHEME, Code, Structure
from autospine.data.disk.files import atomic_path
from autospine.data.formats.dicom import series_slices
from autospine.data.formats.dicom_files import damaged, open_header, pydicom_library
from autospine.data.formats.dicom_frames import Frame
from autospine.data.geometry import Geometry, Volume, same_grid
from autospine.data.made_by import MadeBy
from autospine.data.wording import said
from autospine.errors import OutputError

SUFFIX = ".dcm"
MOST_SEGMENTS = 255
_SAME_MM = 1e-3
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID")
_IDENTIFYING: dict[str, str] = {
    # type 2 of the standard: there, and may be empty
    "PatientName": "PN",
    "PatientID": "LO",
    "PatientBirthDate": "DA",
    "PatientSex": "CS",
    "StudyDate": "DA",
    "StudyTime": "TM",
    "StudyID": "SH",
    "AccessionNumber": "SH",
    "ReferringPhysicianName": "PN",
}
"""What says whose the images are, with its type of value."""
_STATUS = (
    *("IssuerOfPatientID", "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    "LongitudinalTemporalInformationModified",
)
"""What says how that is to be understood; copied where it is there."""
_TAGS = (
    *(*_NEEDED, *_IDENTIFYING, *_STATUS, "SpecificCharacterSet", "Modality", "SeriesNumber", "Rows", "Columns"),
    *("NumberOfFrames", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient"),
    *("ImageOrientationPatient", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("InstanceNumber", "DimensionOrganizationType"),
)
"""What is read of the source."""
_LARGEST_NUMBER = (1 << 31) - 1
_AFTER = 1000
"""Number of the source's series and of that of its segmentations lie so far apart, as those of derived series do."""
_REMEDY = "write another format (--format nifti)"


@dataclass(frozen=True)
class _Source:
    """The series that a segmentation refers to."""

    frames: Sequence[Frame]
    """Its slices in the order of the array."""
    geometry: Geometry
    headers: Sequence[Any]
    """Of its files, in the order of the slices."""

    @property
    def first(self) -> Any:
        """The header that says whose the series is."""
        return self.headers[0]

    @property
    def multi_frame(self) -> bool:
        """Whether one file holds all slices."""
        return self.first.get("NumberOfFrames") is not None


def check_dicom_seg(source: Path) -> None:
    """Raise `OutputError` where no DICOM-SEG object can refer to the series `source`, by the headers of its files.

    Raises `DataError` as `read_series` does.
    """
    _read_source(source)


def write_dicom_seg(path: Path, labels: Volume, structures: Sequence[Structure], source: Path, made_by: MadeBy) -> None:
    """Write labels as a DICOM-SEG object, whole or not at all.

    Args:
        path: the file.
        labels: (1, Z, Y, X), values of `structures` or 0, on the grid of the series.
        structures: what the values mean; a segment each, in this order, numbered from 1.
        source: the folder or file of the series that was segmented.
        made_by: the model.

    Raises:
        OutputError: the series cannot be referred to, or the file not be written.
        DataError: the series cannot be read any more.
        ValueError: values that are no structure's, or another grid than that of the series.
    """
    found = _read_source(source)
    differs = same_grid(labels.geometry, found.geometry, _SAME_MM)
    if differs is not None:
        raise ValueError(f"labels on another grid than {source}: {differs}")
    numbers = segment_numbers(labels.array[0], structures)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a source's header holds against the standard is not ours to mend
        made = _object(found, numbers, structures, made_by, path)
        with atomic_path(path) as temporary:
            made.save_as(temporary)


def segment_numbers(values: npt.NDArray[np.integer[Any]], structures: Sequence[Structure]) -> npt.NDArray[np.uint8]:
    """Values of an array as the numbers of their segments, from 1 in the order of `structures`; 0 stays 0.

    Raises:
        ValueError: a value that is no structure's.
    """
    if not 1 <= len(structures) <= MOST_SEGMENTS:
        raise ValueError(f"{len(structures)} structures, of which 1 to {MOST_SEGMENTS} can be written")
    numbers = np.zeros(values.shape, np.uint8)
    known = values == 0
    for number, structure in enumerate(structures, start=1):
        inside = values == structure.value
        numbers[inside] = number
        known |= inside
    if not known.all():
        raise ValueError(f"values of no structure: {np.unique(values[~known])[:8].tolist()}")
    return numbers


def _read_source(source: Path) -> _Source:
    """The series that is referred to; `OutputError` where that cannot be done."""
    frames, geometry = series_slices(source)
    paths = list(dict.fromkeys(frame.path for frame in frames))
    headers = [_header(path) for path in paths]
    if len(headers) > 1 and any(header.get("NumberOfFrames") is not None for header in headers):
        found = f"a series of {len(headers)} multi-frame files"
        raise OutputError(str(source), found, "one multi-frame file, or a file per slice", _REMEDY)
    if len({str(header.SOPInstanceUID) for header in headers}) < len(headers):
        found = "slices of the same SOPInstanceUID: a DICOM-SEG object cannot say on which of them it lies"
        raise OutputError(str(source), found, "a UID for each slice", f"export it again, or {_REMEDY}")
    return _Source(frames, geometry, headers)


def _header(path: Path) -> Any:
    """What a segmentation needs of a file's header."""
    try:
        header = open_header(path, _TAGS)
        missing = [key for key in _NEEDED if not str(header.get(key) or "").strip()]
        if not _is_thickness(header.get("SliceThickness")):  # the series was placed without it
            header.SliceThickness = None
        if header.get("PerFrameFunctionalGroupsSequence") is None and "NumberOfFrames" in header:
            del header.NumberOfFrames  # a 1 that some programs write in a slice, which is no multi-frame image by it
    except Exception as fault:  # a damaged file fails anywhere in the parser
        raise damaged(path, fault) from fault
    if missing:
        found = f"no {', '.join(missing)} in its header: a DICOM-SEG object cannot say what it belongs to"
        raise OutputError(str(path), found, "a series with its UIDs", f"export it again, or {_REMEDY}")
    return header


def _object(
    source: _Source, numbers: npt.NDArray[np.uint8], structures: Sequence[Structure], made_by: MadeBy, path: Path
) -> Any:
    """The DICOM-SEG object that is to be written to `path`."""
    from highdicom.seg import Segmentation, SegmentationTypeValues

    first, moment = source.first, made_by.moment
    series_uid = _uid("series", str(first.SeriesInstanceUID), made_by.identity, made_by.model, made_by.version)
    named = repr([(one.name, one.value, one.type, one.side, one.region) for one in structures])
    voxels = hashlib.sha256(np.ascontiguousarray(numbers).data).hexdigest()
    instance_uid = _uid("instance", series_uid, named, voxels)
    ours = {
        "segment_descriptions": _descriptions(structures, made_by),
        "series_instance_uid": series_uid,
        "series_number": _series_number(first.get("SeriesNumber")),
        "sop_instance_uid": instance_uid,
        "instance_number": 1,
        "manufacturer": "autospine",
        "manufacturer_model_name": "autospine",
        "software_versions": _line(made_by.version, 64),
        "device_serial_number": made_by.identity[:16] or "unknown",
        "series_description": _line(f"Segmentation by {made_by.model}", 64),
        "content_label": "AUTOSPINE",
        "content_description": _line(f"{made_by.model} {made_by.identity[:12]}", 64),
        "content_date": moment.date(),
        "content_time": moment.time(),
        "series_date": moment.date(),
        "series_time": moment.time(),
        "specific_character_set": "ISO_IR 192",
        "coding_schemes": _coding_schemes(structures),
        "pixel_measures": _pixel_measures(source),
        "omit_empty_frames": bool(numbers.any()),  # an object of no frames at all there is none
    }
    sources, voxels_in_files = [_unnamed(header) for header in source.headers], _as_in_files(numbers, source)
    try:
        made = Segmentation(sources, voxels_in_files, SegmentationTypeValues.BINARY, **ours)
    except (AttributeError, KeyError, TypeError, ValueError) as fault:  # a header that is odd fails anywhere in there
        text = f"no DICOM-SEG object can be made of the headers of its series ({said(fault)})"
        raise OutputError(str(path), text, "a series as the standard has it", _REMEDY) from fault
    made.ContentCreatorName = ""  # which the standard wants to be there, though nobody is it
    made.InstanceCreationDate, made.InstanceCreationTime = made.ContentDate, made.ContentTime
    for item in made.ContributingEquipmentSequence:
        item.ContributionDateTime = pydicom_library().valuerep.DT(moment)
    # of a single slice the library takes what the source says, or a millimetre
    made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = _pixel_measures(source)
    _copy_identity(first, made)
    organization = _uid("dimensions", instance_uid)
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    return made


def _as_in_files(numbers: npt.NDArray[np.uint8], source: _Source) -> npt.NDArray[np.uint8]:
    """Segment numbers (Z, Y, X) in the order of the source's files, or of the frames in its one file."""
    if not source.multi_frame:
        return numbers
    ordered = np.zeros((int(source.first.NumberOfFrames), *numbers.shape[1:]), np.uint8)
    for plane, frame in zip(numbers, source.frames, strict=True):
        ordered[frame.index] = plane
    return ordered


def _descriptions(structures: Sequence[Structure], made_by: MadeBy) -> list[Any]:
    """A description of each segment."""
    import highdicom
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="autospine",
        family=_coded(Code("DCM", "123110", "Artificial Intelligence")),
        version=_line(made_by.version, 64),
    )
    # the library's own way with parameters writes each letter as a value
    parameters = f"model={_line(made_by.model, 64)}; digest={made_by.identity or 'unknown'}"
    algorithm[0].AlgorithmParameters = parameters
    described = []
    for number, one in enumerate(structures, start=1):
        item = SegmentDescription(
            segment_number=number,
            segment_label=_line(one.name, 64),
            segmented_property_category=_coded(one.category),
            segmented_property_type=_coded(one.type),
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
            anatomic_regions=[_coded(one.region)] if one.region else None,
            display_color=CIELabColor.from_rgb(*one.colour),
        )
        if one.side:
            item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [_coded(one.side)]
        if one.value != number or len(one.name) > 64:
            item.SegmentDescription = _line(f"{one.name} (value {one.value} in label maps)", 1024)
        described.append(item)
    return described


def _coded(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def _coding_schemes(structures: Sequence[Structure]) -> list[Any] | None:
    """Our own scheme, where a structure has a code of it."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    if not any(one.type.scheme == OWN_SCHEME for one in structures):
        return None
    return [CodingSchemeIdentificationItem(OWN_SCHEME, name="autospine: structures that no public table codes")]


def _pixel_measures(source: _Source) -> Any:
    """Voxel size; the distance of the slices is that of their positions, whatever the source's header says of it."""
    from highdicom import PixelMeasuresSequence

    step, *plane = source.geometry.spacing_mm
    thickness = source.first.get("SliceThickness")
    return PixelMeasuresSequence(plane, float(thickness) if thickness else step, step)


def _unnamed(header: Any) -> Any:
    """A header without what identifies the patient, whose faults would stop the library; that is copied afterwards."""
    blank = pydicom_library().Dataset()
    blank.update({element.tag: element for element in header if element.keyword not in (*_IDENTIFYING, *_STATUS)})
    for key in _IDENTIFYING:
        setattr(blank, key, None if key.endswith(("Date", "Time")) else "")
    return blank


def _copy_identity(header: Any, made: Any) -> None:
    """Give the object the patient and study of its source, letter by letter."""
    element = pydicom_library().DataElement
    for key, kind in _IDENTIFYING.items():
        made[key] = copy.deepcopy(header[key]) if key in header else element(key, kind, "")
    for key in _STATUS:
        if key in header:
            made[key] = copy.deepcopy(header[key])


def _series_number(number: Any) -> int:
    """Of the segmentation's series: a thousand after that of its source, 1000 where that has none."""
    try:
        own = _AFTER + int(number)
    except (TypeError, ValueError):
        own = _AFTER
    return own if 1 <= own <= _LARGEST_NUMBER else _AFTER


def _uid(*parts: str) -> str:
    """A UID that is the same for the same parts: a name-based UUID."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(parts)).int}"


def _is_thickness(value: Any) -> bool:
    try:
        return 0 < float(value) < math.inf
    except (TypeError, ValueError):
        return False


def _line(text: str, longest: int) -> str:
    """Text as an element of DICOM takes it: one line, no backslash, letters that can be written."""
    printable = "".join(letter if letter.isprintable() and letter != "\\" else " " for letter in text)
    written = printable.encode(errors="replace").decode().strip()[:longest].strip()
    return written or "unnamed"
