"""DICOM series as volumes.

A folder stands for the series in it. Slices are sorted by their position, never by name or number, and a series is read
only where its positions make a regular grid: what is missing, doubled, tilted or mixed in is named. pydicom reads the
headers, and of them only what places the voxels: nothing about a patient leaves this module but a token that says
whether two series are of the same one. SimpleITK decodes the voxels, of all transfer syntaxes that GDCM knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data import mosaic
from autospine.data.dicom_files import damaged, dicom_files, is_image, open_header
from autospine.data.files import check_name
from autospine.data.geometry import Geometry, Volume, times
from autospine.data.itk import reason, sitk
from autospine.errors import DataError

SAME_MM = 1e-3
"""Positions nearer to each other than this are one."""
EVEN = 0.02
"""Share of a slice's distance by which the distances of a regular series may differ: headers are rounded."""
STRAIGHT = 0.02
"""Share of a slice's distance by which the next slice may lie beside the normal of the one before it."""
ALIKE = 1e-3
"""Difference of direction cosines that is rounding."""
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
class Series:
    """What lies in one folder."""

    folder: Path
    study: str
    """Token of the study it belongs to."""
    patient: str
    """Token of the patient, empty where the header names none; the identifier itself is not kept."""
    modality: str


@dataclass(frozen=True)
class _Frame:
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
        found: npt.NDArray[np.float64] = np.cross(self.along[0], self.along[1])
        return found

    @property
    def called(self) -> str:
        return self.path.name + (f", frame {self.index + 1}" if self.index else "")


def holds_images(folder: Path) -> bool:
    """Whether any DICOM object in `folder` is an image: reports and presentation states have folders of their own."""
    return any(_header(path) is not None for path in dicom_files(folder))


def describe_series(folder: Path) -> Series:
    """What series lies in `folder`, from the header of its first image.

    Raises:
        DataError: no image there can be read.
    """
    for path in dicom_files(folder):
        header = _header(path)
        if header is not None:
            return Series(
                folder,
                _token(header.get("StudyInstanceUID")),
                _token(header.get("PatientID")),
                str(header.get("Modality") or "image"),
            )
    raise DataError(str(folder), "no DICOM image here", "the slices of one series")


def read_series(folder: Path) -> Volume:
    """The series in `folder`, (1, Z, Y, X) with Z along the normal of its slices, rescaled as its headers say.

    A file stands for itself: an enhanced multi-frame image, or a single slice.

    Raises:
        DataError: no series, several, or one whose slices make no regular grid; the file or what is missing is named.
    """
    frames, geometry = _grid(folder)
    decoded: dict[Path, npt.NDArray[Any]] = {}
    slices = []
    for frame in frames:
        if frame.path not in decoded:
            decoded = {frame.path: _decode(frame.path)}
        stack = decoded[frame.path]
        if frame.index >= len(stack) or stack[frame.index].shape != (frame.rows, frame.columns):
            raise DataError(
                str(frame.path),
                f"voxels of {times(stack.shape)}",
                f"{frame.rows} x {frame.columns}, as its header says",
                "export the series again",
            )
        slices.append(_rescaled(stack[frame.index], frame))
    return Volume(np.ascontiguousarray(np.stack(slices)[None]), geometry)


def series_geometry(folder: Path) -> Geometry:
    """The grid of the series in `folder`; raises `DataError` as `read_series` does."""
    return _grid(folder)[1]


def _grid(folder: Path) -> tuple[list[_Frame], Geometry]:
    """Slices in the order of their positions, without copies, and the grid that they make."""
    frames = _one_series(folder)
    first = frames[0]
    for frame in frames:
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            sizes = f"{first.rows} x {first.columns} and {frame.rows} x {frame.columns}"
            raise _refused(folder, f"slices of {sizes} ({first.called}, {frame.called})", "slices of one size")
        if np.abs(frame.along - first.along).max() > ALIKE:
            found = f"slices that lie in different planes ({first.called}, {frame.called})"
            raise _refused(folder, found, "parallel slices", "take the localiser out, or export one stack alone")
        if not np.allclose(frame.spacing_mm, first.spacing_mm, rtol=1e-4):
            found = f"voxels of {times(first.spacing_mm)} and {times(frame.spacing_mm)} mm"
            raise _refused(folder, f"{found} ({first.called}, {frame.called})", "slices of one spacing")
    frames = sorted(frames, key=lambda frame: float(frame.position @ first.normal))
    frames = list(_without_copies(folder, frames))
    first = frames[0]
    step = _slice_distance(folder, frames)
    direction = np.stack([*first.along, first.normal], axis=1)
    geometry = Geometry(
        (len(frames), first.rows, first.columns),
        (step, *first.spacing_mm),
        (float(first.position[0]), float(first.position[1]), float(first.position[2])),
        tuple((direction + 0.0).ravel().tolist()),  # + 0.0 turns -0.0 into 0.0
        slice_axis=0,
    )
    return frames, geometry


def _one_series(folder: Path) -> list[_Frame]:
    """All slices in `folder`, which are of one series."""
    series: dict[str, list[_Frame]] = {}
    numbers: dict[str, str] = {}
    for path in dicom_files(folder) if folder.is_dir() else [folder]:
        header = _header(path)
        if header is None:
            continue
        uid = str(header.get("SeriesInstanceUID") or "")
        number = header.get("SeriesNumber")
        numbers[uid] = "without a number" if number is None else f"number {number}"
        series.setdefault(uid, []).extend(_frames(path, header))
    if not series:
        raise DataError(str(folder), "no DICOM image here", "the slices of one series")
    _refuse_empty(folder, {frame.path.suffix for found in series.values() for frame in found})
    if len(series) > 1:
        listed = "; ".join(
            f"{numbers[uid]}: {len(found)} slices of {found[0].rows} x {found[0].columns}, such as {found[0].called}"
            for uid, found in series.items()
        )
        raise _refused(folder, f"{len(series)} series ({listed})", "one series", "give each series a folder of its own")
    return next(iter(series.values()))


def _refuse_empty(folder: Path, suffixes: Collection[str]) -> None:
    """Raise `DataError` where an empty file is called as the slices are: without a suffix nothing else says it was one.

    Of a slice in the middle the gap would be seen, of the first and the last nothing.
    """
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        called = entry.suffix in suffixes and not entry.name.startswith(".")
        if called and entry.is_file() and not entry.stat().st_size:
            remedy = "copy or export the series again, or take the file out if it is none of it"
            raise DataError(str(entry), "an empty file among the slices of a series", "a slice", remedy)


def _frames(path: Path, header: Any) -> list[_Frame]:
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


def _frame(path: Path, index: int, header: Any, value: Callable[[str, str], Any]) -> _Frame:
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
    return _Frame(
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


def _without_copies(folder: Path, frames: Sequence[_Frame]) -> Iterator[_Frame]:
    """Sorted slices; of two at one place with the same voxels the first alone."""
    before: _Frame | None = None
    for frame in frames:
        if before is not None and np.linalg.norm(frame.position - before.position) < SAME_MM:
            if not np.array_equal(_decode(frame.path)[frame.index], _decode(before.path)[before.index]):
                found = f"two different slices at one place ({before.called}, {frame.called})"
                remedy = "take one echo, phase, b-value or time point alone"
                raise _refused(folder, found, "one slice at each place", remedy)
            continue
        before = frame
        yield frame


def _slice_distance(folder: Path, frames: Sequence[_Frame]) -> float:
    """Millimetres between neighbouring slices; `DataError` where it is not the same everywhere."""
    if len(frames) == 1:
        return frames[0].thickness_mm
    steps = np.diff([frame.position for frame in frames], axis=0)
    gaps = steps @ frames[0].normal
    usual = float(np.median(gaps))
    for gap, frame, following in zip(gaps, frames, frames[1:], strict=False):
        if abs(gap - usual) <= EVEN * usual:
            continue
        between = f"{frame.called} and {following.called}"
        several = round(gap / usual)
        if several > 1 and abs(gap - several * usual) <= EVEN * usual * several:
            missing = several - 1
            found = f"{missing} slice{'s' * (missing > 1)} missing between {between}"
            raise _refused(folder, found, f"a slice every {usual:.4g} mm", "export the whole series again")
        found = f"slices {gap:.4g} mm apart between {between}, {usual:.4g} mm elsewhere"
        raise _refused(folder, found, "slices at one distance", "resample it onto a regular grid first")
    mean = (frames[-1].position - frames[0].position) / (len(frames) - 1)
    distance = float(mean @ frames[0].normal)
    beside = float(np.linalg.norm(mean - distance * frames[0].normal))
    if beside > STRAIGHT * distance:
        angle = float(np.degrees(np.arctan2(beside, distance)))
        found = f"slices stacked {angle:.1f} degrees off their normal (a tilted gantry)"
        raise _refused(folder, found, "slices stacked along their normal", "resample it onto an upright grid first")
    return distance


def _header(path: Path) -> Any | None:
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


def _rescaled(values: npt.NDArray[Any], frame: _Frame) -> npt.NDArray[Any]:
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


def _decode(path: Path) -> npt.NDArray[Any]:
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


def _token(value: object) -> str:
    """A name for a value that says nothing but whether two are equal; empty for none."""
    text = str(value or "").strip()
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _refused(folder: Path, found: str, expected: str, remedy: str = "export the series again") -> DataError:
    return DataError(str(folder), found, expected, remedy)
