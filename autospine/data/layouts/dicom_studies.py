"""The series of a tree of DICOM files, by what their headers say and not by how folders are cut.

    archive/p1/T2/IM0001 ...     ->  a series in a folder of its own stands under the path of that folder
    export/IM0001 ... IM0412     ->  of several in one folder each has an address (`dicom_files.series_address`)
    media/0001/ media/0002/      ->  a series that goes on in the next folder is one

A file is opened once. Which patient a series is of is compared and not kept.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autospine.data.formats.dicom_files import folders_below, series_address
from autospine.data.formats.dicom_headers import Grid, Header, read_header, token
from autospine.data.geometry import Geometry, orient_geometry, triple
from autospine.data.layouts.shared.naming import no_images_note
from autospine.data.slices import PLANES
from autospine.data.wording import listed
from autospine.errors import DataError

_SAME_MM = 0.01
"""Slices nearer to each other than this lie at one place."""
_PARALLEL = 0.01
"""Difference of direction cosines that is rounding."""


@dataclass(frozen=True)
class Found:
    """A series of images in a tree."""

    path: Path
    """What it is read from: its folder, or an address."""
    home: Path
    """The folder that its files lie in or below."""
    study: str
    """Token that says which series belong together."""
    header: Header
    """Of its first file."""
    slices: int
    """Places at which it has a slice; images, where they have no place."""
    geometry: Geometry | None
    """Its grid in canonical axes, as far as its headers say; None where they place nothing or not all."""
    plane: str
    """sagittal, coronal or axial, whichever its slices are nearest to; empty without a place."""
    aside: str = ""
    """Why it is no volume of its own, where that is known: slices in several planes, several images at each place."""


@dataclass(frozen=True)
class Tree:
    """What DICOM there is at and below a folder."""

    series: tuple[Found, ...]
    """Of images, by path and number."""
    folders: tuple[Path, ...]
    """All that hold DICOM files."""
    others: tuple[Path, ...]
    """Folders whose DICOM files are no images."""
    copies: tuple[Path, ...]
    """Folders with copies of series that lie elsewhere as well."""

    def notes(self, root: Path) -> tuple[str, ...]:
        """What is said of what lies below `root` and is no series of its own."""
        said = (no_images_note(root, self.others),) if self.others else ()
        if not self.copies:
            return said
        names = listed([f"{folder.relative_to(root).as_posix()}/" for folder in self.copies])
        return (*said, f"copies of series that lie elsewhere as well, left aside: {names}")


@dataclass(frozen=True)
class _Part:
    """What of a series lies in one folder."""

    folder: Path
    files: tuple[tuple[Path, Header], ...]

    @property
    def uids(self) -> frozenset[str]:
        """Of its images."""
        return frozenset(header.uid for _, header in self.files)

    @property
    def places(self) -> frozenset[tuple[int, ...]]:
        """Of its slices, rounded."""
        grids = (header.grid for _, header in self.files if header.grid is not None)
        return frozenset(_rounded(place) for grid in grids for place in grid.places)


def find_series(root: Path, tell: Callable[[str], None], report: Callable[[DataError], None]) -> Tree:
    """All series of images at and below `root`; folders that may not be read go to `tell`, each as its path.

    A file that is damaged, or empty among slices, goes to `report` where its folder holds several series: which of
    them it belongs to is not known. In the folder of one series, reading that says what is wrong.

    Raises:
        DataError: `root` cannot be read.
    """
    parts: dict[tuple[str, str, str], list[_Part]] = {}
    folders, others = list[Path](), list[Path]()
    damaged: dict[Path, list[DataError]] = {}
    for folder, files in folders_below(root, tell):
        held, faults = _headers(files)
        if held or faults:
            folders.append(folder)
        images = [(path, header) for path, header in held if header.image]
        if held and not images and not faults:
            others.append(folder)
        here: dict[tuple[str, str, str], list[tuple[Path, Header]]] = {}
        for path, header in images:
            # what has lost the UID of its study belongs together by its folder
            key = header.patient, header.study or token(folder.relative_to(root)), header.series
            here.setdefault(key, []).append((path, header))
        for key, slices in here.items():
            parts.setdefault(key, []).append(_Part(folder, tuple(slices)))
        damaged[folder] = [*faults, *_empty(files, images)] if images or faults else []
    crowded = Counter(part.folder for held in parts.values() for part in held)
    series, copies = [], list[Path]()
    for (_, study, uid), of_series in parts.items():
        kept, twice = _without_copies(of_series)
        copies += twice
        joined = [kept] if _continue_each_other(kept) else [[part] for part in kept]
        for group in joined:
            # the same UIDs on other images: who anonymised them gave all studies one name, and folders tell them apart
            name = study if len(joined) == 1 else token(study, group[0].folder.relative_to(root))
            place = _path(group, uid, alone=crowded[group[0].folder] == 1)
            if place is None:
                found = f"{group[0].files[0][0].name} and others of no SeriesInstanceUID, beside other series"
                remedy = "give each series a folder of its own"
                report(DataError(str(group[0].folder), found, "the UID of its series in each file", remedy))
                continue
            series.append(_found(group, name, place))
    whole = {one.path for one in series}
    for folder, faults in damaged.items():
        for fault in faults if folder not in whole else ():
            report(fault)
    series.sort(key=lambda one: (one.home, _order(one), one.path))
    return Tree(tuple(series), tuple(folders), tuple(others), tuple(copies))


def _headers(files: Sequence[Path]) -> tuple[list[tuple[Path, Header]], list[DataError]]:
    """The DICOM files among `files` with their headers, and the faults of those that are damaged."""
    held, faults = [], []
    for path in files:
        try:
            header = read_header(path)
        except DataError as fault:
            faults.append(fault)
            continue
        if header is not None:
            held.append((path, header))
    return held, faults


def _empty(files: Sequence[Path], images: Sequence[tuple[Path, Header]]) -> list[DataError]:
    """The faults of empty files that are called as `images` are: they may have been slices."""
    suffixes, known = {path.suffix for path, _ in images}, {path for path, _ in images}
    remedy = "copy or export the series again, or take the file out if it is none of it"
    return [
        DataError(str(path), "an empty file among the slices of a series", "a slice", remedy)
        for path in files
        if path not in known and path.suffix in suffixes and not path.stat().st_size
    ]


def _without_copies(parts: Sequence[_Part]) -> tuple[list[_Part], list[Path]]:
    """The parts that are not the same images again, and the folders of those that are."""
    kept: list[_Part] = []
    copies = []
    for part in parts:
        known = frozenset[str]().union(*(one.uids for one in kept))
        if kept and part.uids <= known and "" not in part.uids:
            copies.append(part.folder)
        else:
            kept.append(part)
    return kept, copies


def _continue_each_other(parts: Sequence[_Part]) -> bool:
    """Whether the parts of a series lie beside each other in space: no two at one place."""
    places = [place for part in parts for place in part.places]
    return len(parts) == 1 or (bool(places) and len(places) == len(set(places)))


def _path(parts: Sequence[_Part], uid: str, *, alone: bool) -> Path | None:
    """What the series in these parts is read from; `alone` where its first folder holds no other."""
    return parts[0].folder if len(parts) == 1 and alone else series_address(_home(parts), uid)


def _home(parts: Sequence[_Part]) -> Path:
    """The folder that all parts lie in or below."""
    return parts[0].folder if len(parts) == 1 else Path(os.path.commonpath([part.folder for part in parts]))


def _found(parts: Sequence[_Part], study: str, path: Path) -> Found:
    """The series in these parts, read from `path`."""
    files = [held for part in parts for held in part.files]
    home = _home(parts)
    headers = [header for _, header in files]
    grids = [header.grid for header in headers]
    known = [grid for grid in grids if grid is not None]
    first = min(headers, key=lambda header: header.uid) if not known else headers[0]
    if len(known) < len(grids) or not known:
        return Found(path, home, study, first, len(files), None, "", "no place in space")
    plane = _plane(known[0])
    if not all(_in_plane_of(known[0], grid) for grid in known):
        return Found(path, home, study, first, len(files), None, plane, "slices in several planes")
    taken = {header.uid: header for header in headers}  # copies of a slice are one
    places = Counter(_rounded(place) for one in taken.values() if one.grid is not None for place in one.grid.places)
    several = max(places.values()) > 1
    aside = "several images at each place (echoes, time points or b-values)" if several else ""
    return Found(path, home, study, first, len(places), _geometry(known, first), plane, aside)


def _geometry(grids: Sequence[Grid], header: Header) -> Geometry:
    """The canonical grid of slices at these places; their distance is the usual one."""
    first = grids[0]
    along = np.array([place for grid in grids for place in grid.places]) @ first.normal
    steps = np.diff(np.unique(np.round(along / _SAME_MM) * _SAME_MM))
    step = float(np.median(steps)) if len(steps) else first.thickness_mm
    origin = first.places[int(np.argmin([place @ first.normal for place in map(np.array, first.places)]))]
    direction = np.stack([first.along[:3], first.along[3:], first.normal], axis=1)
    shape = (len(steps) + 1, max(header.rows, 1), max(header.columns, 1))
    geometry = Geometry(shape, (step, *first.spacing_mm), origin, tuple(direction.ravel().tolist()), slice_axis=0)
    return orient_geometry(geometry)


def _plane(grid: Grid) -> str:
    """Which of the body's planes the slices are nearest to."""
    return PLANES[2 - int(np.argmax(np.abs(grid.normal)))]  # a normal is (x, y, z)


def _in_plane_of(first: Grid, grid: Grid) -> bool:
    return grid.parallel and bool(np.abs(np.subtract(first.along, grid.along)).max() < _PARALLEL)


def _rounded(place: Sequence[float]) -> tuple[int, ...]:
    return triple(round(value / _SAME_MM) for value in place)


def _order(one: Found) -> tuple[bool, int]:
    """By number, those without one last."""
    number = one.header.number
    return number is None, number or 0
