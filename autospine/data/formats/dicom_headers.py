"""What the header of a DICOM file says of the series it belongs to, read once for each file of a tree.

Descriptions, timing and place are what a series is chosen by. Of whose image it is nothing is kept but a token that
says whether two are of the same patient.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import unreadable
from autospine.data.formats.dicom_files import damaged, is_dicom, is_image, open_header
from autospine.data.weighting import Timing

LONGEST = 64
"""Letters of a description that are kept: as many as DICOM allows."""
_PER_FRAME, _SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"
_TAGS: list[str | int] = [
    *("SOPClassUID", "SOPInstanceUID", "Modality", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("PatientID", "SeriesNumber", "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName"),
    *("ImageType", "ScanningSequence", "EchoPulseSequence", "EchoTime", "RepetitionTime", "InversionTime"),
    *("ContrastBolusAgent", "ConversionType", "SamplesPerPixel", "Rows", "Columns", "NumberOfFrames"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SpacingBetweenSlices", "SliceThickness"),
    *(_PER_FRAME, _SHARED),
]
_REMEMBERED = 1 << 15
"""Files of which it is kept what their headers say (ours): about 50 MB of memory."""
_SECONDARY = "Secondary Capture"
Place = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """Where the slices of a file lie, by its header."""

    places: tuple[Place, ...]
    """Centre of the first voxel of each slice, LPS millimetres."""
    along: tuple[float, ...]
    """Directions of increasing column and row, 6 numbers, of the first slice."""
    parallel: bool
    """Whether all its slices lie in parallel planes."""
    spacing_mm: tuple[float, float]
    """Of rows and columns."""
    thickness_mm: float
    """Distance of slices, 1 where it says nothing."""

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Direction at right angles to the slices, LPS, (3,)."""
        found: npt.NDArray[np.float64] = np.cross(self.along[:3], self.along[3:])
        return found


@dataclass(frozen=True)
class Header:
    """What a file says of its series."""

    image: bool
    """Whether it is an image, and no report, presentation state or segmentation."""
    uid: str
    """SOPInstanceUID: two files with the same are copies."""
    series: str
    study: str
    """Token of its StudyInstanceUID."""
    patient: str
    """Token of its PatientID, empty where it names none."""
    frame_of_reference: str
    modality: str
    number: int | None
    """SeriesNumber."""
    texts: tuple[str, ...]
    """SeriesDescription, ProtocolName, SequenceName; empty where they say nothing."""
    image_type: tuple[str, ...]
    timing: Timing
    contrast: bool
    """Whether it names a contrast agent."""
    captured: bool
    """Whether it is a picture: a screenshot, a scan of paper, an image in colour."""
    rows: int
    columns: int
    grid: Grid | None
    """None where it has no usable place in space."""


def read_header(path: Path) -> Header | None:
    """What the header of a file says of its series; None for a file that is no DICOM.

    A file that has not changed since is not opened again: who watches a folder looks through it many times.

    Raises:
        DataError: it cannot be read, or is DICOM and damaged.
    """
    try:
        state = path.stat()
    except OSError as fault:
        raise unreadable(path, fault) from fault
    return _header_at(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(_REMEMBERED)
def _header_at(name: str, size: int, changed_ns: int) -> Header | None:
    """`read_header` of a file in the state of this size and time."""
    path = Path(name)
    if not is_dicom(path):
        return None
    try:
        return _header(open_header(path, _TAGS))
    except Exception as fault:  # a damaged file fails anywhere in the parser
        raise damaged(path, fault) from fault


def _header(header: Any) -> Header:
    kind = getattr(header.get("SOPClassUID"), "name", "")
    colour = int(header.get("SamplesPerPixel") or 1) != 1
    frames = header.get(_PER_FRAME)
    shared = (header.get(_SHARED) or [{}])[0]
    first = frames[0] if frames else {}

    def said(group: str, key: str) -> Any:
        for level in (first, shared):
            inner = level.get(group)
            if inner and inner[0].get(key) is not None:
                return inner[0].get(key)
        return header.get(key)

    scanning = {str(value).upper() for value in _values(header.get("ScanningSequence"))}
    echoes = str(header.get("EchoPulseSequence") or "").upper()  # of enhanced images
    spin = ("SE" in scanning and "GR" not in scanning) or echoes == "SPIN"
    echo = _number(said("MREchoSequence", "EffectiveEchoTime") or header.get("EchoTime"))
    repetition = _number(said("MRTimingAndRelatedParametersSequence", "RepetitionTime"))
    number = _number(header.get("SeriesNumber"))
    return Header(
        image=bool(is_image(header)),
        uid=str(header.get("SOPInstanceUID") or ""),
        series=str(header.get("SeriesInstanceUID") or ""),
        study=token(header.get("StudyInstanceUID")),
        patient=token(header.get("PatientID")),
        frame_of_reference=token(header.get("FrameOfReferenceUID")),
        modality=str(header.get("Modality") or ""),
        number=None if number is None else int(number),
        texts=(
            _text(header, "SeriesDescription"),
            _text(header, "ProtocolName"),
            _text(header, "SequenceName") or _text(header, "PulseSequenceName"),
        ),
        image_type=tuple(str(value).upper() for value in _values(header.get("ImageType"))),
        timing=Timing(echo, repetition, _number(header.get("InversionTime")), spin),
        contrast=bool(_text(header, "ContrastBolusAgent")),
        captured=_SECONDARY in kind or header.get("ConversionType") is not None or colour,
        rows=int(_number(header.get("Rows")) or 0),
        columns=int(_number(header.get("Columns")) or 0),
        grid=_grid(header, frames, said),
    )


def _grid(header: Any, frames: Any, said: Callable[[str, str], Any]) -> Grid | None:
    """The places of a file's slices; None where a number is missing that reading it would need."""
    along = _numbers(said("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    spacing = _numbers(said("PixelMeasuresSequence", "PixelSpacing"), 2)
    apart = said("PixelMeasuresSequence", "SpacingBetweenSlices") or said("PixelMeasuresSequence", "SliceThickness")
    if frames is None:
        places = [_numbers(header.get("ImagePositionPatient"), 3)]
        turned = [along]
    else:
        places = [_numbers(_inner(frame, "PlanePositionSequence", "ImagePositionPatient"), 3) for frame in frames]
        turned = [_numbers(_inner(frame, "PlaneOrientationSequence", "ImageOrientationPatient"), 6) for frame in frames]
    held = [(place[0], place[1], place[2]) for place in places if place is not None]
    if along is None or spacing is None or min(spacing) <= 0 or len(held) < len(places) or not held:
        return None
    parallel = all(one is None or np.abs(np.subtract(one, along)).max() < 0.01 for one in turned)
    thickness = _number(apart)
    return Grid(
        tuple(held), along, bool(parallel), (spacing[0], spacing[1]), thickness if thickness and thickness > 0 else 1.0
    )


def _inner(frame: Any, group: str, key: str) -> Any:
    inner = frame.get(group)
    return inner[0].get(key) if inner else None


def token(*values: object) -> str:
    """A name for values that says nothing but whether two are equal; empty for none."""
    text = " ".join(str(value or "") for value in values).strip()
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _values(value: Any) -> Iterable[Any]:
    """Of a header's element, one or several."""
    return () if value is None else (value,) if isinstance(value, str | int | float) else value


def _text(header: Any, key: str) -> str:
    """A header's text, fit to be shown: what a terminal would obey is left out.

    Its bytes are taken as UTF-8, else as Latin-1: many headers name another character set than they are written in, and
    what is compared are plain letters.
    """
    element = header.get_item(key)
    value = None if element is None else element.value
    if isinstance(value, bytes):
        text = _decoded(value)
    else:
        text = str(value or "")
    said = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(said.split())[:LONGEST]


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    """That many finite numbers; None for anything else."""
    found = [_number(value) for value in _values(values)]
    whole = tuple(number for number in found if number is not None)
    return whole if len(whole) == len(found) == count else None
