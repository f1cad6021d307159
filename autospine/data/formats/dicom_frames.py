"""The slices of a DICOM file: where each lies by its header, and its voxels.

pydicom reads the headers, and of them only what places the voxels. SimpleITK decodes the voxels, of all transfer
syntaxes that GDCM knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import check_name
from autospine.data.formats import mosaic
from autospine.data.formats.dicom_files import damaged, is_image, open_header
from autospine.data.formats.itk import reason, sitk
from autospine.data.geometry import times
from autospine.errors import DataError

_PER_FRAME, _SHARED = "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"
_TAGS: list[str | int] = [
    *mosaic.TAGS,
    "SOPClassUID",
    "Modality",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "SeriesNumber",
    "PatientID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "RescaleSlope",
    "RescaleIntercept",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "SliceThickness",
    _PER_FRAME,
    _SHARED,
]
"""All that is read of a header."""


@dataclass(frozen=True)
class Frame:
    """One slice of a series."""

    path: Path
    index: int
    """Frame in the file, from 0."""
    rows: int
    columns: int
    position: npt.NDArray[np.float64]
    """Centre of the first voxel, LPS millimetres, (3,)."""
    along: npt.NDArray[np.float64]
    """Directions of increasing column and row, (2, 3)."""
    spacing_mm: tuple[float, float]
    """Of rows and columns."""
    thickness_mm: float
    """Distance of slices by the header, 1 where it says nothing."""
    rescale: tuple[float, float]
    """Slope and intercept of its values."""
    rescaled: tuple[float, float]
    """Those of the first frame of its file, which GDCM applies to all."""

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Direction at right angles to the slice, LPS, (3,)."""
        found: npt.NDArray[np.float64] = np.cross(self.along[0], self.along[1])
        return found

    @property
    def called(self) -> str:
        """Its file and, after the first, its frame."""
        return self.path.name + (f", frame {self.index + 1}" if self.index else "")


def image_header(path: Path) -> Any | None:
    """What of a file's header places its voxels; None for an object that is no image.

    Raises:
        DataError: the file is damaged.
    """
    try:
        header = open_header(path, _TAGS)
        image = is_image(header)
        header.get(_PER_FRAME)  # parsed on first access
    except Exception as fault:  # a damaged file fails anywhere in the parser
        raise damaged(path, fault) from fault
    return header if image else None


def frames_of(path: Path, header: Any) -> list[Frame]:
    """The slices of a file: one, or those of an enhanced multi-frame image."""
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise DataError(str(path), "a colour image", "one value per voxel", "export the original series")
    count = int(header.get("NumberOfFrames") or 1)
    per_frame = header.get(_PER_FRAME)
    if per_frame is None:
        if count > 1:
            found = f"{count} frames without a position each"
            raise DataError(str(path), found, "an enhanced multi-frame image, or a file per slice")
        mosaic.refuse_mosaic(path, header)
        return [_frame(path, 0, header, lambda group, key: header.get(key))]
    if len(per_frame) != count:
        raise DataError(str(path), f"positions of {len(per_frame)} frames", f"{count}, as many as it has")
    shared = header.get(_SHARED) or [{}]

    def of(frame: Any) -> Callable[[str, str], Any]:
        def value(group: str, key: str) -> Any:
            for level in (frame, shared[0], header):
                inner = level.get(group) if level is not header else [header]
                if inner and inner[0].get(key) is not None:
                    return inner[0].get(key)
            return None

        return value

    frames = [_frame(path, index, header, of(frame)) for index, frame in enumerate(per_frame)]
    return [replace(frame, rescaled=frames[0].rescale) for frame in frames]


def _frame(path: Path, index: int, header: Any, value: Callable[[str, str], Any]) -> Frame:
    """One slice from its header; `value` finds a key of a functional group."""
    try:
        rows, columns = int(header.Rows), int(header.Columns)
    except (AttributeError, TypeError, ValueError):
        raise DataError(str(path), "no rows and columns", "an image", "take it out of the folder") from None
    position = _numbers(path, "ImagePositionPatient", value("PlanePositionSequence", "ImagePositionPatient"), 3)
    along = _numbers(path, "ImageOrientationPatient", value("PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    spacing = _numbers(path, "PixelSpacing", value("PixelMeasuresSequence", "PixelSpacing"), 2)
    apart = value("PixelMeasuresSequence", "SpacingBetweenSlices") or value("PixelMeasuresSequence", "SliceThickness")
    thickness = float(_numbers(path, "SpacingBetweenSlices", [apart], 1)[0]) if apart else 1.0
    axes = along.reshape(2, 3)
    if min(spacing) <= 0 or not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        found = f"voxels of {times(tuple(spacing.tolist()))} mm along {along.tolist()}"
        raise DataError(str(path), found, "positive spacing and axes at right angles", "export the series again")
    axes = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    between = (float(spacing[0]), float(spacing[1]))
    rescale = _rescale(path, value)
    return Frame(
        path, index, rows, columns, position, axes, between, thickness if thickness > 0 else 1.0, rescale, rescale
    )


def _rescale(path: Path, value: Callable[[str, str], Any]) -> tuple[float, float]:
    """Slope and intercept of a frame, 1 and 0 where its header has none."""
    group = "PixelValueTransformationSequence"
    slope, intercept = (value(group, key) for key in ("RescaleSlope", "RescaleIntercept"))
    found = _numbers(path, "RescaleSlope", [1 if slope is None else slope, intercept or 0], 2)
    if found[0] == 0:
        raise DataError(str(path), "a RescaleSlope of 0", "another number", "export the series again")
    return float(found[0]), float(found[1])


def _numbers(path: Path, key: str, values: Iterable[Any] | None, count: int) -> npt.NDArray[np.float64]:
    """A header's numbers as float64, (count,); `DataError` where they are missing or no numbers."""
    try:
        found = np.array([float(value) for value in values or ()], np.float64)
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if found.shape != (count,) or not np.isfinite(found).all():
        said = "no" if values is None else "an unusable"
        remedy = "take it out if it is a report or a screenshot, else export the series again"
        raise DataError(str(path), f"{said} {key}", f"{count} finite number{'s' if count > 1 else ''}", remedy)
    return found


def rescaled(values: npt.NDArray[Any], frame: Frame) -> npt.NDArray[Any]:
    """The decoded values of a frame by its own slope and intercept."""
    if frame.rescale == frame.rescaled:
        return values
    raw = (values.astype(np.float64) - frame.rescaled[1]) / frame.rescaled[0]
    return raw * frame.rescale[0] + frame.rescale[1]


def _check_whole(path: Path) -> None:
    """Raise a `DataError` where a file holds fewer voxels than its header says: GDCM would fill the rest with zeros."""
    try:
        header = open_header(path, ["Rows", "Columns", "NumberOfFrames", "BitsAllocated", "PixelData"], voxels=True)
        voxels = int(header.Rows) * int(header.Columns) * int(header.get("NumberOfFrames") or 1)
        syntax = header.file_meta.get("TransferSyntaxUID")
        untold = syntax is None and (header["PixelData"].is_undefined_length or not header.original_encoding[1])
        packed = syntax is not None and syntax.is_compressed
        claimed = 0 if packed else voxels * int(header.get("BitsAllocated") or 8) // 8
        held = len(header.PixelData)
    except Exception as fault:  # a damaged file fails anywhere in the parser
        raise damaged(path, fault) from fault
    if untold:  # GDCM would take big-endian voxels for little-endian ones
        found, expected = (
            "no TransferSyntaxUID, and voxels that need one",
            "uncompressed little-endian voxels without it",
        )
        raise DataError(str(path), found, expected, "export it again with its file meta")
    if held < claimed:
        found, expected = f"damaged or cut off: it holds {held} bytes", f"{claimed}, as its header says"
        raise DataError(str(path), found, expected, "copy or export the file again")


def decode(path: Path) -> npt.NDArray[Any]:
    """The frames of a file, (frames, rows, columns), rescaled."""
    check_name(path)
    _check_whole(path)
    reader = sitk().ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        array: npt.NDArray[Any] = sitk().GetArrayFromImage(reader.Execute())
    except (RuntimeError, MemoryError) as fault:
        raise DataError(
            str(path), f"its voxels cannot be decoded ({reason(fault)})", "", "copy or export the series again"
        ) from fault
    return array.reshape(-1, *array.shape[-2:])
