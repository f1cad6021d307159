"""DICOM series as volumes.

A folder stands for the series in it. Slices are sorted by their position, never by name or number, and a series is read
only where its positions make a regular grid: what is missing, doubled, tilted or mixed in is named. Nothing about a
patient leaves this module but a token that says whether two series are of the same one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.formats.dicom_files import dicom_files, series_files
from autospine.data.formats.dicom_frames import Frame, decode, frames_of, image_header, rescaled
from autospine.data.geometry import Geometry, Volume, times
from autospine.errors import DataError

SAME_MM = 1e-3
"""Positions nearer to each other than this are one."""
EVEN_GAPS = 0.02
"""Share of a slice's distance by which the distances of a regular series may differ: headers are rounded."""
STRAIGHT = 0.02
"""Share of a slice's distance by which the next slice may lie beside the normal of the one before it."""
PARALLEL = 1e-3
"""Difference of direction cosines that is rounding."""


@dataclass(frozen=True)
class Series:
    """What lies in one folder."""

    folder: Path
    study: str
    """Token of the study it belongs to."""
    patient: str
    """Token of the patient, empty where the header names none; the identifier itself is not kept."""
    modality: str


def holds_images(folder: Path) -> bool:
    """Whether any DICOM object in `folder` is an image: reports and presentation states have folders of their own."""
    return any(image_header(path) is not None for path in dicom_files(folder))


def describe_series(folder: Path) -> Series:
    """What series lies in `folder`, from the header of its first image.

    Raises:
        DataError: no image there can be read.
    """
    for path in dicom_files(folder):
        header = image_header(path)
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

    A file stands for itself: an enhanced multi-frame image, or a single slice. A series among others in a folder has
    a path of its own (`dicom_files.series_address`).

    Raises:
        DataError: no series, several, or one whose slices make no regular grid; the file or what is missing is named.
    """
    frames, geometry = _grid(folder)
    decoded: dict[Path, npt.NDArray[Any]] = {}
    slices = []
    for frame in frames:
        if frame.path not in decoded:
            decoded = {frame.path: decode(frame.path)}
        stack = decoded[frame.path]
        if frame.index >= len(stack) or stack[frame.index].shape != (frame.rows, frame.columns):
            raise DataError(
                str(frame.path),
                f"voxels of {times(stack.shape)}",
                f"{frame.rows} x {frame.columns}, as its header says",
                "export the series again",
            )
        slices.append(rescaled(stack[frame.index], frame))
    return Volume(np.ascontiguousarray(np.stack(slices)[None]), geometry)


def series_geometry(folder: Path) -> Geometry:
    """The grid of the series in `folder`; raises `DataError` as `read_series` does."""
    return _grid(folder)[1]


def _grid(folder: Path) -> tuple[list[Frame], Geometry]:
    """Slices in the order of their positions, without copies, and the grid that they make."""
    frames = _one_series(folder)
    first = frames[0]
    for frame in frames:
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            sizes = f"{first.rows} x {first.columns} and {frame.rows} x {frame.columns}"
            raise _refused(folder, f"slices of {sizes} ({first.called}, {frame.called})", "slices of one size")
        if np.abs(frame.along - first.along).max() > PARALLEL:
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


def _one_series(folder: Path) -> list[Frame]:
    """All slices in `folder`, which are of one series."""
    series: dict[str, list[Frame]] = {}
    numbers: dict[str, str] = {}
    for path in series_files(folder):
        header = image_header(path)
        if header is None:
            continue
        uid = str(header.get("SeriesInstanceUID") or "")
        number = header.get("SeriesNumber")
        numbers[uid] = "without a number" if number is None else f"number {number}"
        series.setdefault(uid, []).extend(frames_of(path, header))
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


def _without_copies(folder: Path, frames: Sequence[Frame]) -> Iterator[Frame]:
    """Sorted slices; of two at one place with the same voxels the first alone."""
    before: Frame | None = None
    for frame in frames:
        if before is not None and np.linalg.norm(frame.position - before.position) < SAME_MM:
            if not np.array_equal(decode(frame.path)[frame.index], decode(before.path)[before.index]):
                found = f"two different slices at one place ({before.called}, {frame.called})"
                remedy = "take one echo, phase, b-value or time point alone"
                raise _refused(folder, found, "one slice at each place", remedy)
            continue
        before = frame
        yield frame


def _slice_distance(folder: Path, frames: Sequence[Frame]) -> float:
    """Millimetres between neighbouring slices; `DataError` where it is not the same everywhere."""
    if len(frames) == 1:
        return frames[0].thickness_mm
    steps = np.diff([frame.position for frame in frames], axis=0)
    gaps = steps @ frames[0].normal
    usual = float(np.median(gaps))
    for gap, frame, following in zip(gaps, frames, frames[1:], strict=False):
        if abs(gap - usual) <= EVEN_GAPS * usual:
            continue
        between = f"{frame.called} and {following.called}"
        several = round(gap / usual)
        if several > 1 and abs(gap - several * usual) <= EVEN_GAPS * usual * several:
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


def _token(value: object) -> str:
    """A name for a value that says nothing but whether two are equal; empty for none."""
    text = str(value or "").strip()
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def _refused(folder: Path, found: str, expected: str, remedy: str = "export the series again") -> DataError:
    return DataError(str(folder), found, expected, remedy)
