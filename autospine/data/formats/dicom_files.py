"""Which files are DICOM, and which of those hold an image.

Scanners and archives drop suffixes, and some software drops the preamble and the file meta that should stand before
the header, so that the content decides. Any other file is told by its first bytes: folders hold thousands of them.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from autospine.data.disk.files import unreadable
from autospine.data.wording import said
from autospine.errors import DataError

SUFFIX = ".dcm"
NO_IMAGES = ("SR", "PR", "KO", "SEG", "RTSTRUCT", "DOC", "REG")
"""Modalities of objects that lie beside images and are none."""
DIRECTORY = "DICOMDIR"
"""Name of a table of contents, which is DICOM and no image."""
DEEPEST = 6
"""Levels of folders below that of the images which are looked into."""
_STANDARD = "1.2.840.10008."
"""How the UIDs of DICOM's own classes begin."""
_PREAMBLE = 128
_FIRST_GROUPS = (0x0002, 0x0008)
"""Where a header begins that has no preamble: with its file meta, or without that as well."""
_LONGEST_FIRST = 256
"""Bytes that the first value of a header may take: it is a length, a character set, an image type or a UID."""
_ADDRESS = re.compile(r"SeriesInstanceUID=(?P<uid>[\w.-]+)")
"""Name of a path that stands for one of several series in a folder."""
_SERIES_UID = 0x0020000E
_REMEMBERED = 1 << 16
"""Files of which it is kept which series they belong to (ours): some archives lay a whole study in one folder."""
_TYPES = (b"UL", b"OB", b"UI", b"CS", b"SH", b"DA", b"TM", b"LO", b"ST", b"DT", b"UN")
"""Types of value that the first elements of these groups have, where they are written down."""


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM: by its suffix, by its preamble, or by what its header says where it has none."""
    if path.suffix.lower() == SUFFIX:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(_PREAMBLE + 4)
    except OSError:
        return False
    if head[_PREAMBLE:] == b"DICM":
        return True
    if not _may_be_bare(head):
        return False
    try:
        from pydicom.filereader import read_partial

        pydicom_library()
        with path.open("rb") as file:
            # no further than the first groups: whatever else may begin so need not be read to its end
            header = read_partial(file, lambda tag, kind, length: tag.group not in _FIRST_GROUPS, force=True)
        uids = [str(header.get(key) or "").replace(".", "") for key in ("SOPClassUID", "SOPInstanceUID")]
        kind = str(header.get("Modality") or "")
        # one of them alone may be chance
        return sum([*(uid.isdigit() for uid in uids), kind.isalpha() and kind.isupper()]) > 1
    except Exception:  # whatever the parser stumbles over is no DICOM
        return False


def _may_be_bare(head: bytes) -> bool:
    """Whether the first bytes of a file could be those of a header without a preamble."""
    if len(head) < 16:
        return False
    for order in "<>":
        group, element, length = struct.unpack(f"{order}HHI", head[:8])
        # file meta always says what type its values have; the header itself need not
        unsaid = group == _FIRST_GROUPS[1] and 0 < length <= _LONGEST_FIRST and length % 2 == 0
        if group in _FIRST_GROUPS and element < 0x1000 and (head[4:6] in _TYPES or unsaid):
            return True
    return False


def open_header(path: Path, tags: Sequence[str | int], *, voxels: bool = False) -> Any:
    """These `tags` of a DICOM file as pydicom reads them, with or without a preamble before them.

    Raises whatever the parser does where the file is damaged.
    """
    with path.open("rb") as file:
        head = file.read(_PREAMBLE + 4)
    bare = head[_PREAMBLE:] != b"DICM" and _may_be_bare(head)
    return pydicom_library().dcmread(path, force=bare, stop_before_pixels=not voxels, specific_tags=list(tags))


def is_image(header: Any) -> bool:
    """Whether the object of this header (its SOPClassUID, Modality and Rows are needed) holds an image."""
    kind = header.get("SOPClassUID")
    # a file whose class cannot be told may be a slice that was cut off: left out, it would be missed
    known = kind is not None and kind.name != str(kind)
    if known and ("Image Storage" not in kind.name or "Non-Image" in kind.name):
        return False
    # a vendor's own class, whose UID is whole, and no rows: protocols, spectra and the like
    if kind is not None and not known and not str(kind).startswith(_STANDARD) and header.get("Rows") is None:
        return False
    return header.get("Modality") not in NO_IMAGES


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files that lie in `folder` itself, by name; hidden ones and a DICOMDIR are none."""
    try:
        entries = _entries(folder)[1]
    except OSError as fault:
        raise unreadable(folder, fault) from fault
    return [entry for entry in entries if is_dicom(entry)]


def series_address(folder: Path, uid: str) -> Path | None:
    """A path that stands for the series `uid` among others at and below `folder`; no file of this name exists.

    None for what is no UID, and no name of a file either.
    """
    path = folder / f"SeriesInstanceUID={uid}"
    return path if _ADDRESS.fullmatch(path.name) else None


def addressed(path: Path) -> tuple[Path, str] | None:
    """Folder and SeriesInstanceUID of a path that `series_address` has made; None for any other."""
    match = _ADDRESS.fullmatch(path.name)
    return (path.parent, match["uid"]) if match and not os.path.lexists(path) and path.parent.is_dir() else None


def series_files(path: Path) -> list[Path]:
    """The DICOM files that `path` stands for: those of a folder, those of a series that is addressed, or the file.

    Objects that are no images are among them where they lie in the folder of a series.

    Raises:
        DataError: the folder cannot be read.
    """
    if path.is_dir():
        return dicom_files(path)
    address = addressed(path)
    if address is None:
        return [path]
    folder, uid = address
    files = (file for _, held in folders_below(folder) for file in held)
    return [file for file in files if series_uid(file) == uid]


def series_uid(path: Path) -> str:
    """SeriesInstanceUID of a file; empty where it is no DICOM, or its header cannot be read."""
    try:
        state = path.stat()
    except OSError:
        return ""
    return _series_at(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(_REMEMBERED)
def _series_at(path: str, size: int, changed_ns: int) -> str:
    """`series_uid` of a file in the state of this size and time: a folder is asked for each of its series."""
    return _series_of(Path(path)) if is_dicom(Path(path)) else ""


def slices_beside(path: Path) -> int:
    """How many files of the series of a DICOM file lie in its folder, with itself; 0 where that cannot be told."""
    wanted = _series_of(path)
    try:
        return sum(_series_of(file) == wanted for file in dicom_files(path.parent)) if wanted else 0
    except DataError:  # a file may be read where its folder may not be listed
        return 0


def _series_of(path: Path) -> str:
    """UID of the series that a file belongs to, empty where its header cannot be read."""
    try:
        from pydicom.filereader import read_partial

        pydicom_library()
        with path.open("rb") as file:
            head = file.read(_PREAMBLE + 4)
            file.seek(0)
            bare = head[_PREAMBLE:] != b"DICM" and _may_be_bare(head)
            # no further than the UID: of a folder with several series every file is asked
            header = read_partial(file, lambda tag, kind, length: tag > _SERIES_UID, force=bare)
        return str(header.get("SeriesInstanceUID") or "")
    except Exception:  # whatever the parser stumbles over is told where the file is read
        return ""


def series_folders(root: Path, tell: Callable[[str], None] = lambda note: None) -> Iterator[Path]:
    """Folders at or below `root` that hold DICOM files, at most `DEEPEST` levels down; links are followed once.

    Folders below it that may not be read, such as `lost+found`, are passed over and go to `tell`, each as its path.
    """
    return (folder for folder, files in folders_below(root, tell) if any(is_dicom(file) for file in files))


def folders_below(
    root: Path, tell: Callable[[str], None] = lambda note: None
) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Folders at and below `root` as `series_folders` walks them, each with its files that may be DICOM, by name.

    Raises:
        DataError: `root` itself cannot be read.
    """
    seen: set[str] = set()

    def walk(folder: Path, left: int) -> Iterator[tuple[Path, tuple[Path, ...]]]:
        place = os.path.realpath(folder)
        if place in seen:
            return
        seen.add(place)
        try:
            folders, files = _entries(folder)
        except OSError as fault:
            if folder == root:
                raise unreadable(folder, fault) from fault
            tell(folder.relative_to(root).as_posix())
            return
        yield folder, files
        for entry in folders if left else ():
            yield from walk(entry, left - 1)

    yield from walk(root, DEEPEST)


def _entries(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Folders and files in `folder` by name, without hidden ones and a DICOMDIR."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            with suppress(OSError):  # a link to itself is neither, and hides nothing that lies beside it
                if entry.is_dir():
                    folders.append(folder / entry.name)
                elif entry.is_file() and entry.name.upper() != DIRECTORY:
                    files.append(folder / entry.name)
    return tuple(folders), tuple(files)


def damaged(path: Path, fault: Exception) -> DataError:
    """The error of a file that pydicom cannot read."""
    return DataError(str(path), f"cannot be read as DICOM ({said(fault)})", "", "copy or export the file again")


@cache
def pydicom_library() -> Any:
    """Pydicom, loaded where a DICOM file is read."""
    import pydicom
    from pydicom import config

    library: Any = pydicom
    config.settings.reading_validation_mode = config.IGNORE
    return library
