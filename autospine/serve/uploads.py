"""What was uploaded, told by its first bytes and unpacked: never by a name, never beyond a limit.

Of a zip nothing is taken over but the bytes of its DICOM files, which get numbers for names and a folder for each
series. What is packed once more within it (a zip in a zip, a viewer that came with a CD) is no DICOM file and goes.
Limits hold for what the zip says of itself, before anything is unpacked, and again for what comes out.
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from autospine.data.formats.dicom_files import SUFFIX as DICOM
from autospine.data.formats.dicom_files import is_dicom, pydicom_library
from autospine.serve.limits import Limits
from autospine.serve.refusals import RequestError

Kind = Literal["nifti", "nrrd", "mha", "dicom"]

_HEAD = 4096
_CHUNK = 1 << 18
_MOST_LISTED = 4 << 20
"""Bytes of a zip's list of members, some 40 000 of them, which Python reads whole."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Others (bzip2, LZMA) may take much memory to unpack, and no archive of images uses them."""
_DEFLATED = "1.2.840.10008.1.2.1.99"
"""Transfer syntax whose whole data set is packed, which pydicom unpacks without a limit."""
_READ_GROUPS = (0x0008, 0x0010, 0x0018, 0x0020, 0x0028)
"""Groups of elements in which it stands what an image is, and how it lies."""
_TEXTS = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"))
"""Types of text of which an element may have several values, each of which takes some hundred bytes of memory."""
_LONGEST_TEXT = 4096
"""Bytes of such an element (ours): a scanner writes some ten values, of 64 at most."""
_VECTORS = (0x00181065, 0x00182005)
"""Times and locations of frames, as many as there are frames, which nothing here reads."""
_LONGEST_HEADER = 4 << 20
"""Bytes of a header in lines: that of a segmentation has some 500 for each of its structures (ours)."""
_DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR."""
_META = re.compile(rb"\s*(ObjectType|NDims|Comment)\s*=")
_EXPECTED = "NIfTI (.nii, .nii.gz), NRRD, MetaImage (.mha), a DICOM file, or a zip of DICOM files"


@dataclass(frozen=True)
class Upload:
    """A file that arrived, as it is read."""

    path: Path
    """An image file, or the folder of a DICOM series, or of several, each in one of its own."""
    kind: Kind
    field: str = ""
    """The form's field that it came in."""


class Room:
    """Bytes that may still be unpacked for a request."""

    def __init__(self, limits: Limits, file_bytes: int | None = None) -> None:
        """All of `limits`.

        A file that is made of more than `file_bytes` is refused: a header may be as long as its file, and is read into
        memory before it is known what it says. None: as `limits` has it.
        """
        self.limits = limits
        self.left = limits.expanded_bytes
        self._file_bytes = limits.expanded_bytes if file_bytes is None else file_bytes

    def check_file(self, size: int, name: str) -> None:
        """Refuse (413) a file of so many bytes where memory has no room for it."""
        if size > self._file_bytes:
            found = f"a file of {size / 1e6:.3g} MB, for which there is too little memory"
            expected = f"at most {self._file_bytes / 1e6:.3g} MB"
            raise RequestError(413, name, found, expected, "crop it to what is to be segmented, or send it again later")

    def most(self, packed: int) -> int:
        """Bytes that `packed` ones may become."""
        return min(self.left, max(self.limits.harmless_bytes, self.limits.ratio * packed))


def unpacked(path: Path, field: str, number: int, room: Room) -> Upload:
    """The file `path` under a name that its content gives it, unpacked where it is packed; `path` goes then.

    It is the upload of this `number`, as which messages name it.

    Raises:
        RequestError: 400 damaged or malicious, 413 too large when unpacked, 415 nothing that is known.
    """
    name = f"upload_{number}"
    head = _head(path)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Upload(_from_zip(path, path.with_name(name), room), "dicom", field)
    if head.startswith(b"\x1f\x8b"):
        plain = path.with_name(f"{name}.nii")
        _from_gzip(path, plain, room)
        if not _is_nifti(_head(plain)):
            raise RequestError(415, name, "packed with gzip, and no NIfTI image", _EXPECTED)
        return Upload(plain, "nifti", field)
    room.check_file(path.stat().st_size, name)
    kind = _kind(head, path, name)
    if kind is None:
        raise RequestError(415, name, "nothing that is known by its first bytes", _EXPECTED)
    if kind == "dicom":
        _checked_header(path, name)
    elif kind != "nifti":
        _check_text_header(path, kind, name)
    suffix = {"nifti": ".nii", "nrrd": ".nrrd", "mha": ".mha", "dicom": DICOM}[kind]
    return Upload(path.rename(path.with_name(f"{name}{suffix}")), kind, field)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _kind(head: bytes, path: Path, name: str) -> Kind | None:
    """What a file is by its first bytes; None for what is not read here."""
    if _is_nifti(head):
        return "nifti"
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if _META.match(head):
        return "mha"
    return "dicom" if _is_dicom(path, name) else None


def _is_nifti(head: bytes) -> bool:
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    return (348 in sizes and head[344:347] in (b"n+1", b"ni1")) or (540 in sizes and head[4:7] in (b"n+2", b"ni2"))


def _from_gzip(path: Path, target: Path, room: Room) -> None:
    """Unpack `path` to `target`, and check its sum."""
    name = target.name.removesuffix(".nii")
    try:
        with gzip.open(path) as packed:
            _copy(packed, target, room.most(path.stat().st_size), room, name)
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise RequestError(400, name, f"damaged or cut off ({fault})", "a whole file", "send it again") from fault
    path.unlink()


def _copy(source: IO[bytes] | gzip.GzipFile, target: Path, most: int, room: Room, name: str) -> int:
    """Bytes written to `target`; refused where there are more than `most`."""
    taken = 0
    with target.open("xb") as file:
        while piece := source.read(_CHUNK):
            taken += len(piece)
            if taken > most:
                raise _too_large_unpacked(name)
            room.check_file(taken, name)
            file.write(piece)
    room.left -= taken
    return taken


def _too_large_unpacked(name: str) -> RequestError:
    return RequestError(413, name, "it becomes too large when it is unpacked", remedy="send less at once, or unpacked")


class _Archive(io.FileIO):
    """A file of which no more is read at once than a list of members may have."""

    def read(self, size: int | None = -1, /) -> Any:
        """As of a file; a zip whose list is longer is refused."""
        most = _MOST_LISTED + 1
        content = super().read(most if size is None or size < 0 else min(size, most))
        if content is not None and len(content) > _MOST_LISTED:
            raise zipfile.BadZipFile("its list of files is too long")
        return content


def _from_zip(path: Path, folder: Path, room: Room) -> Path:
    """The DICOM files of a zip, by series, below `folder`."""
    name = folder.name
    folder.mkdir()
    found, series = 0, _Series(folder)
    try:
        with _Archive(path) as file, zipfile.ZipFile(file) as archive:
            members = _checked(archive, path.stat().st_size, room, name)
            for number, member in enumerate(members, 1):
                target = folder / f"{number:05d}"
                with archive.open(member) as source:
                    _copy(source, target, min(member.file_size, room.left), room, name)
                found += series.keep(target, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as fault:
        raise RequestError(400, name, f"no whole zip ({str(fault)[:200]})", "a whole zip", "send it again") from fault
    if not found:
        raise RequestError(415, name, "a zip without DICOM files", "a zip of the DICOM files of a series or a study")
    path.unlink()
    return folder


def _checked(archive: zipfile.ZipFile, size: int, room: Room, name: str) -> list[zipfile.ZipInfo]:
    """The files in a zip of `size` bytes, all of them as they may be."""
    members = archive.infolist()
    if len(members) > room.limits.members:
        raise RequestError(413, name, f"{len(members)} files", f"at most {room.limits.members}", "send less at once")
    for why in (_wrong(member) for member in members):
        if why:
            raise RequestError(400, name, f"a zip with {why}", "plain files in folders", "pack it anew")
    if any(not 0 <= member.header_offset < size for member in members):
        raise RequestError(400, name, "a zip whose files lie outside of it", "a whole zip", "send it again")
    if sum(member.compress_size for member in members) > size:
        raise RequestError(400, name, "a zip whose files share their bytes", "files of their own", "pack it anew")
    if sum(member.file_size for member in members) > room.most(size):
        raise _too_large_unpacked(name)
    room.check_file(max((member.file_size for member in members), default=0), name)
    return [member for member in members if not member.is_dir()]


def _wrong(member: zipfile.ZipInfo) -> str:
    """What is wrong with a file in a zip; empty where it is as it may be. No name is ever used: it tells of intent."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    steps = member.filename.replace("\\", "/").split("/")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device in it"
    if ".." in steps or member.filename.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", member.filename):
        return "names that lead out of its folder"
    if member.flag_bits & 0x1:
        return "encrypted files"
    return "" if member.compress_type in _METHODS else "files that are packed in an unusual way"


class _Series:
    """The folders of the series that the files of a zip belong to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Path] = {}

    def keep(self, file: Path, name: str) -> bool:
        """Whether a file is DICOM, and stays: in the folder of its series."""
        meta = _meta(file)
        if meta.get("MediaStorageSOPClassUID") == _DIRECTORY or not _is_dicom(file, name):
            file.unlink()
            return False
        uid = str(_checked_header(file, name).get("SeriesInstanceUID") or "")
        if uid not in self._known:
            self._known[uid] = self._folder / f"series_{len(self._known) + 1:03d}"
            self._known[uid].mkdir()
        file.rename(self._known[uid] / f"{file.name}{DICOM}")
        return True


def _is_dicom(path: Path, name: str) -> bool:
    """Whether a file, whose own name has no suffix, is DICOM; refused where all of it is packed."""
    if _meta(path).get("TransferSyntaxUID") == _DEFLATED:
        raise RequestError(415, name, "DICOM that is packed as a whole (deflated)", "another transfer syntax")
    return is_dicom(path)


def _checked_header(path: Path, name: str) -> Any:
    """The header of a DICOM file as far as it can be read, in which no text is longer than it may be.

    A position of a million numbers is some megabytes in a file, hundreds in memory, and next to nothing in a zip. What
    the parser stumbles over is told where the file is read.
    """
    pydicom_library()
    from pydicom.datadict import dictionary_has_tag, dictionary_VR
    from pydicom.dataset import Dataset
    from pydicom.filereader import read_partial

    def check(tag: Any, kind: str | None, length: int) -> bool:
        if tag.group in _READ_GROUPS and length > _LONGEST_TEXT and tag not in _VECTORS:
            kinds = {kind, dictionary_VR(tag) if dictionary_has_tag(tag) else kind}
            if not kinds.isdisjoint(_TEXTS):
                found = f"DICOM with more than {_LONGEST_TEXT} bytes of text in {tag}"
                raise RequestError(400, name, found, "values as long as DICOM has them", "export it again")
        return False

    with path.open("rb") as file:
        try:
            return read_partial(file, check, defer_size=_LONGEST_TEXT, force=True)
        except RequestError:
            raise
        except Exception:
            return Dataset()


def _check_text_header(path: Path, kind: Kind, name: str) -> None:
    """Refuse (400) NRRD or MetaImage whose header, which is gone through line by line, does not end in time."""
    with path.open("rb") as file:
        head = file.read(_LONGEST_HEADER)
    ends = (b"ElementDataFile",) if kind == "mha" else (b"\n\n", b"\r\n\r\n")
    if len(head) == _LONGEST_HEADER and not any(end in head for end in ends):
        found = f"a header of more than {_LONGEST_HEADER >> 20} MiB"
        raise RequestError(400, name, found, "an image with a shorter one", "export it again")


def _meta(path: Path) -> Any:
    """The file meta at the head of a DICOM file, which is never packed; empty where there is none."""
    pydicom_library()
    from pydicom.dataset import Dataset
    from pydicom.filereader import read_dataset

    with path.open("rb") as file:
        head = file.read(132)
        file.seek(132 if head[128:] == b"DICM" else 0)
        try:
            return read_dataset(file, False, True, stop_when=lambda tag, kind, length: tag.group != 2)
        except Exception:  # no DICOM, or one that the reader says more of
            return Dataset()
