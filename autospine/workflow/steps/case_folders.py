"""A folder for each case that somebody is to look at or to correct: opened by 3D Slicer and ITK-SNAP as it is.

    <root>/<case>/<image>                a link to the image; a copy where the disk knows no links
    <root>/<case>/mask.seg.nrrd          each label map, with names and colours, for 3D Slicer
    <root>/<case>/mask.nii.gz            the same for ITK-SNAP, with
    <root>/<case>/labels.itksnap.txt     what its values mean

Where the files of two channels have one name, each channel's lie in a folder of its own, `channel_<number>`.

What was changed there since, in Slicer say, is somebody's work: it is never replaced or removed. Each folder keeps, in
a hidden file, digests of what was written to it; they are kept before a file gets its name, so that one that a killed
process has left is known, too.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autospine.data.codes.structures import Structure
from autospine.data.disk.files import atomic_path, file_digest, read_json, unwritable, write_json
from autospine.data.formats.dicom_files import series_files
from autospine.data.geometry import Volume
from autospine.data.label_tables import label_tables
from autospine.data.made_by import MadeBy
from autospine.data.segmentation_files import write_segmentation
from autospine.data.structure import Files
from autospine.data.volume import files_of, is_series
from autospine.errors import DataError, OutputError

ACCOUNT = ".written.json"
"""In a case's folder: file -> digests of what autospine has written there under this name, the last at the end."""
FORMATS = (".seg.nrrd", ".nii.gz")
_REMEMBERED = 4
"""Digests of a file that are kept: it may be killed between keeping one and giving the file its name."""


@dataclass(frozen=True)
class CaseFolder:
    """What goes into a folder."""

    path: Path
    images: Files
    maps: Mapping[str, Volume]
    """Name of a label map, such as `mask` -> its values (1, Z, Y, X) on the image's grid."""
    structures: tuple[Structure, ...]
    """What the values mean."""
    made_by: MadeBy


def write_case_folder(folder: CaseFolder) -> tuple[str, ...]:
    """Write a folder, or make it what it is to be now; the files that were changed since, which stay as they are.

    Raises:
        OutputError: a file cannot be written.
        DataError: a DICOM series cannot be listed.
    """
    account = _Account.of(folder.path)
    for place, file in _shown(folder.images).items():
        _link(file, folder.path / place)
    changed = []
    for name, write in _written(folder).items():
        path = folder.path / name
        if account.is_changed(path):
            changed.append(name)
            continue
        with atomic_path(path) as temporary:
            write(temporary)
            account = account.keeping(path, file_digest(temporary, OutputError))
    return tuple(changed)


def _written(folder: CaseFolder) -> dict[str, Callable[[Path], object]]:
    """Name of a file -> what writes it to a path."""
    found: dict[str, Callable[[Path], object]] = {}
    for name, labels in folder.maps.items():
        for ending in FORMATS:
            found[f"{name}{ending}"] = partial(_write_map, folder, labels)
    for name, text in label_tables(folder.structures).items():
        found[name] = partial(_write_table, text)
    return found


def _write_map(folder: CaseFolder, labels: Volume, path: Path) -> None:
    write_segmentation(path, labels, folder.structures, folder.images, folder.made_by)


def _write_table(text: str, path: Path) -> None:
    path.write_bytes(text.encode(errors="replace"))


def remove_older(root: Path, wanted: Collection[str]) -> tuple[str, ...]:
    """Remove from `root` the folders of cases that are not `wanted` any more; names of those in which somebody worked.

    Of the others, and of files that are not ours, nothing is removed.
    """
    kept = []
    for place in sorted(root.iterdir()) if root.is_dir() else []:
        if place.name in wanted or not (place / ACCOUNT).is_file():
            continue
        account = _Account.of(place)
        held = [place / name for name in account.digests]
        if any(account.is_changed(path) for path in held):
            kept.append(place.name)
            continue
        links = _links_below(place)
        for path in (*held, *links, place / ACCOUNT):
            with suppress(OSError):
                path.unlink()
        for emptied in sorted({place, *(path.parent for path in links)}, reverse=True):  # the inner ones first
            with suppress(OSError):  # something else lies in it
                emptied.rmdir()
    return tuple(kept)


@dataclass(frozen=True)
class _Account:
    """What was written to a folder."""

    folder: Path
    digests: Mapping[str, tuple[str, ...]]

    @staticmethod
    def of(folder: Path) -> _Account:
        """As it is kept there; one that cannot be read knows nothing, and so everything there is somebody's."""
        try:
            content: Any = read_json(folder / ACCOUNT)
        except DataError:
            content = None
        files = content.get("files") if isinstance(content, dict) else None
        known = files.items() if isinstance(files, dict) else ()
        plain = {name: tuple(map(str, held)) for name, held in known if isinstance(held, list) and "/" not in name}
        return _Account(folder, plain)

    def is_changed(self, path: Path) -> bool:
        """Whether a file stands there that is not as it was written."""
        if not os.path.lexists(path):
            return False
        return not path.is_file() or file_digest(path, OutputError) not in self.digests.get(path.name, ())

    def keeping(self, path: Path, digest: str) -> _Account:
        """The account with what a file is to be, kept on disk."""
        earlier = tuple(one for one in self.digests.get(path.name, ()) if one != digest)
        now = {**self.digests, path.name: (*earlier, digest)[-_REMEMBERED:]}
        write_json(self.folder / ACCOUNT, {"files": {name: list(held) for name, held in now.items()}})
        return _Account(self.folder, now)


def _shown(images: Files) -> dict[Path, Path]:
    """Place in the case's folder -> the file, or the folder of a series, that a link there shows.

    Those of an addressed series are in a folder. Where two channels want one place, each has a folder of its own.
    """
    channels = {number: _links_of(image) for number, image in enumerate(images) if image is not None}
    wanted = Counter(place for links in channels.values() for place in links)
    if max(wanted.values(), default=1) == 1:
        return {place: file for links in channels.values() for place, file in links.items()}
    apart = ((Path(f"channel_{number}"), links) for number, links in channels.items())
    return {folder / place: file for folder, links in apart for place, file in links.items()}


def _links_of(image: Path) -> dict[Path, Path]:
    """The same of one image by itself."""
    if not is_series(image):
        return {Path(file.name): file for file in files_of(image)}
    if image.is_dir():
        return {Path(image.name): image}
    return {Path("series", file.name): file for file in series_files(image)}


def _links_below(folder: Path) -> list[Path]:
    """All links in a folder and in those below it, without going into any."""
    places = (Path(root, name) for root, folders, files in os.walk(folder) for name in (*folders, *files))
    return [path for path in places if path.is_symlink()]


def _link(file: Path, place: Path) -> None:
    """A link at `place`, or a copy; what is no link there stays."""
    target = file.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_symlink():
            if place.resolve() == target:
                return
            place.unlink()
        elif os.path.lexists(place):
            return
        try:
            place.symlink_to(target)
        except OSError:  # a disk, or a system, without links
            if target.is_dir():
                shutil.copytree(target, place)
            else:
                shutil.copyfile(target, place)
    except OSError as fault:
        raise unwritable(place, fault) from fault
