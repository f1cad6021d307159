"""A model as one file, `<name>.autospine`: a ZIP archive of uncompressed members, laid out as model folders are.

    manifest.json                                 what is in it, with the SHA-256 of each, and which model it is of
    README.md                                     for people
    3d_cascade_fullres/about.json                 figures, limits, licence, versions
    3d_cascade_fullres/labels.json                names and values of what is segmented
    3d_cascade_fullres/model.json
    3d_cascade_fullres/fold_0/model.safetensors   and previous.json, of a cascade
    3d_lowres/model.json                          what a cascade starts from
    3d_lowres/fold_0/model.safetensors

Nothing in a file from a stranger is believed before it is looked at. Names are taken from the list above or not at all;
members that are compressed, encrypted, links, doubled or larger than the file that holds them are refused; what is
taken out goes to a private temporary folder, where it has the digest that the manifest says, or is an error.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from zipfile import ZIP_STORED, BadZipFile, LargeZipFile, ZipFile, ZipInfo

from autospine.data.disk.files import atomic_path, file_digest, read_json, unreadable
from autospine.data.disk.private import private_folder
from autospine.data.folds import FULL
from autospine.errors import OutputError, PlanError
from autospine.planning.document.about import ABOUT
from autospine.planning.document.configuration import CONFIGURATIONS, ConfigurationName
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, from_table, shown, to_table
from autospine.planning.document.limits import Count
from autospine.planning.document.model_file import BEST, CALIBRATION, MODEL, PREVIOUS, WEIGHTS
from autospine.planning.document.postprocessing import POSTPROCESSING
from autospine.planning.document.promise import PROMISE
from autospine.planning.document.trust import TRUST

SUFFIX = ".autospine"
MANIFEST, README, LABELS = "manifest.json", "README.md", "labels.json"
FORMAT: Literal["autospine model"] = "autospine model"
VERSION = 1
MOST_MEMBERS = 1000
"""Two stages of a hundred folds have some 600 (ours)."""
_AT_ONCE = 1 << 20
"""Bytes that are read together. The list of so many members has a fifth of that; a longer one is refused unread."""
_TEXTS = (MODEL, ABOUT, LABELS, CALIBRATION, POSTPROCESSING, PROMISE, TRUST)
_OF_FOLD = (WEIGHTS, BEST, PREVIOUS)
_MEMBER = re.compile(
    rf"({MANIFEST}|{README}|({'|'.join(map(re.escape, CONFIGURATIONS))})/"
    rf"({'|'.join(map(re.escape, _TEXTS))}|fold_([0-9]{{1,4}}|{FULL})/({'|'.join(map(re.escape, _OF_FOLD))})))"
)
_BEGINNING = b"PK\x03\x04"
_ENCRYPTED = 0x1
_PREFIX = "autospine-model-"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""Of all members, so that the same model is the same file; the first that a ZIP archive knows."""
_EXPECTED = f"a model folder, or a {SUFFIX} file that `autospine export` wrote"
_REMEDY = "copy the file again, or ask for it again where it came from"
_ANOTHER_PLACE = "make room there, or set TMPDIR to another folder"
_FAULTS = (BadZipFile, LargeZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, KeyError, OverflowError)
"""What the library raises of an archive that is none, is damaged, or needs what it does not know."""


@dataclass(frozen=True)
class Member:
    """A file in the archive."""

    name: str
    bytes: Count
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive says of itself."""

    format: Literal["autospine model"]
    version: Literal[1]
    model: ConfigurationName
    """The folder of the model that is meant; another one is what a cascade starts from."""
    members: tuple[Member, ...]


def write_archive(target: Path, model: str, members: Mapping[str, Path | bytes], digests: Mapping[str, str]) -> None:
    """Write `members`, each a file or its content, and a manifest of them as the archive `target`, whole or not at all.

    The same members give the same bytes. `digests` are the SHA-256 of those that have been looked at before.

    Raises:
        OutputError: the file cannot be written.
        PlanError: a member cannot be read, or is another one than its digest says.
    """
    with atomic_path(target) as temporary, ZipFile(temporary, "w", ZIP_STORED, strict_timestamps=True) as archive:
        listed = []
        for name in sorted(members):
            member = _write(archive, name, members[name])
            if member.sha256 != digests.get(name, member.sha256):
                found = "has changed while it was exported"
                remedy = "wait until the training that writes it has ended, and run the same command again"
                raise PlanError(str(members[name]), found, "a file that stays as it is", remedy)
            listed.append(member)
        manifest = {"format": FORMAT, "version": VERSION, "model": model, "members": to_table(tuple(listed))}
        _write(archive, MANIFEST, json_bytes(manifest))


def json_bytes(content: object) -> bytes:
    """What `write_json` puts into a file."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a surrogate becomes what JSON writes for it


def _write(archive: ZipFile, name: str, content: Path | bytes) -> Member:
    """Put a member into the archive."""
    info = ZipInfo(name, _FIXED_DATE)
    info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
    digest = hashlib.sha256()
    with _open(content) as source, archive.open(info, "w") as place:
        while part := source.read(_AT_ONCE):
            digest.update(part)
            place.write(part)
    return Member(name, info.file_size, digest.hexdigest())


def _open(content: Path | bytes) -> IO[bytes]:
    if isinstance(content, bytes):
        return io.BytesIO(content)
    try:
        return content.open("rb")
    except OSError as fault:
        raise unreadable(content, fault, PlanError) from fault


@contextmanager
def opened_model(path: Path, folds: Collection[str] | None = None) -> Iterator[Path]:
    """The model folder at `path` for a block: itself, or that of an archive, taken out for as long.

    Of an archive `folds` are taken out alone; None: all. What a cascade starts from lies beside it. Errors that are
    raised in the block name the archive, not the temporary folder, which is removed at its end.

    Raises:
        PlanError: neither a folder nor an archive that autospine wrote, or one that has not these folds.
        OutputError: there is no room for what is taken out.
    """
    path = Path(path)
    if not _is_file(path):
        yield path
        return
    with private_folder(_PREFIX) as place:
        try:
            yield _take_out(path, place, folds)
        except PlanError as error:
            parts = error.where, error.found, error.expected, error.remedy
            raise PlanError(*(part.replace(str(place), str(path)) for part in parts)) from error


def _is_file(path: Path) -> bool:
    """Whether a file is there that may be an archive; not so of a folder, nor where a model folder is missed.

    Raises:
        PlanError: what is there is no file that could be one, or a name that is an archive's stands for nothing.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.suffix.lower() == SUFFIX:
            raise PlanError(str(path), "no such file", _EXPECTED, "check the path") from None
        return False
    except (OSError, ValueError) as fault:
        raise PlanError(str(path), f"cannot be read ({getattr(fault, 'strerror', None) or fault})") from fault
    if stat.S_ISDIR(mode):
        return False
    if not stat.S_ISREG(mode):
        raise PlanError(str(path), "neither a folder nor a file", _EXPECTED, "check the path")
    return True


def _take_out(path: Path, place: Path, folds: Collection[str] | None) -> Path:
    """Take the model out of the archive at `path`, and give its folder."""
    try:
        with path.open("rb") as file:
            if file.read(len(_BEGINNING)) != _BEGINNING:
                remedy = "give --model the folder that holds it, or the exported file"
                raise PlanError(str(path), f"not a {SUFFIX} file", _EXPECTED, remedy)
            with ZipFile(_Careful(file)) as archive:
                infos = _look_through(archive.infolist(), path)
                _write_out(archive, [infos[MANIFEST]], place, path)
                manifest = _read_manifest(place / MANIFEST, infos)
                wanted = [info for name, info in infos.items() if _is_wanted(name, folds)]
                _check_folds(path, manifest.model, infos, folds)
                _check_room(place, sum(info.file_size for info in wanted))
                _write_out(archive, wanted, place, path)
    except OSError as fault:
        raise unreadable(path, fault, PlanError) from fault
    except _FAULTS as fault:
        found = f"cannot be read as a model ({str(fault)[:200]})"
        raise PlanError(str(path), found, _EXPECTED, _REMEDY) from fault
    for member in manifest.members:
        there = place / member.name
        if there.is_file() and file_digest(there, PlanError) != member.sha256:
            raise PlanError(str(there), "its SHA-256 is not that of the manifest", "a file as it was exported", _REMEDY)
    return place / manifest.model


class _Careful:
    """A file of which little is read at once: a list of members that is longer than any model's is not taken in."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, count: int = -1) -> bytes:
        """As the file's; ValueError where that is too much."""
        if not 0 <= count <= _AT_ONCE:
            place = self._file.tell()
            rest = self._file.seek(0, io.SEEK_END) - place
            self._file.seek(place)
            if count < 0 and rest <= _AT_ONCE:
                return self._file.read(rest)
            raise ValueError(f"its list of members has {count if count > 0 else rest} bytes")
        return self._file.read(count)


def _look_through(infos: Sequence[ZipInfo], path: Path) -> dict[str, ZipInfo]:
    """The members of an archive by their names, none of which can be anything but a part of a model.

    Raises:
        PlanError: one is.
    """
    expected = f"the parts of a model: {MODEL}, {WEIGHTS} and others, by the names that export gives them"
    if len(infos) > MOST_MEMBERS:
        raise PlanError(str(path), f"{len(infos)} members", f"at most {MOST_MEMBERS}", _REMEDY)
    room, found = path.stat().st_size, dict[str, ZipInfo]()
    for info in infos:
        fault = _fault_of(info, room, found)
        if fault:
            raise PlanError(f"{path}, member {shown(info.orig_filename)}", fault, expected, _REMEDY)
        room -= info.file_size
        found[info.filename] = info
    if MANIFEST not in found:
        raise PlanError(str(path), f"no {MANIFEST} in it", _EXPECTED, _REMEDY)
    return found


def _fault_of(info: ZipInfo, room: int, others: Collection[str]) -> str:
    """What is wrong with a member of an archive that has `room` bytes left for it; empty where nothing is."""
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if not _MEMBER.fullmatch(name) or info.filename != name:
        return "no part of a model has this name"
    if name in others:
        return "stands there twice"
    if kind not in (0, stat.S_IFREG):
        return "a link, a folder or a device"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    if info.compress_type != ZIP_STORED or info.compress_size != info.file_size:
        return "compressed"
    if info.file_size > room:
        return f"{info.file_size} bytes, more than are left in the file"
    if not name.endswith(".safetensors") and info.file_size > MOST_DOCUMENT_BYTES:
        return f"a text of {info.file_size} bytes, more than {MOST_DOCUMENT_BYTES >> 20} MiB"
    return ""


def _read_manifest(path: Path, infos: Mapping[str, ZipInfo]) -> Manifest:
    """The manifest, which lists just the members that there are.

    Raises:
        PlanError: it does not, or is none.
    """
    content = read_json(path, PlanError, MOST_DOCUMENT_BYTES, _REMEDY)
    version = content.get("version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > VERSION:
        remedy = "use a newer version of autospine"
        raise PlanError(str(path), f"version {shown(version)} of the format", f"version {VERSION}", remedy)
    manifest = from_table(Manifest, content, str(path), _REMEDY)
    listed = {member.name: member.bytes for member in manifest.members}
    there = {name: info.file_size for name, info in infos.items() if name != MANIFEST}
    differ = sorted(name for name in {*listed, *there} if listed.get(name) != there.get(name))
    if differ or len(listed) < len(manifest.members):
        found = f"it does not list what is in the file: {shown(differ[:3])}"
        raise PlanError(str(path), found, "each member once, with its size", _REMEDY)
    return manifest


def _fold_of(name: str) -> str | None:
    """The fold that a member belongs to; None where it belongs to all."""
    matched = _MEMBER.fullmatch(name)
    return matched[4] if matched else None


def _is_wanted(name: str, folds: Collection[str] | None) -> bool:
    fold = _fold_of(name)
    return name != MANIFEST and (folds is None or fold is None or fold in folds)


def _check_folds(path: Path, model: str, names: Collection[str], folds: Collection[str] | None) -> None:
    """Raise `PlanError` where the `model` in the archive has not all of these folds."""
    there = {_fold_of(name) for name in names if name.startswith(f"{model}/")} - {None}
    missing = [fold for fold in folds or () if fold not in there]
    if missing:
        held = ", ".join(sorted(map(str, there))) or "none"
        raise PlanError(str(path), f"no fold {', '.join(missing)[:200]}", f"one of {held}", "choose with --folds")


def _check_room(place: Path, wanted: int) -> None:
    """Raise `OutputError` where the temporary folder has too little room."""
    free = shutil.disk_usage(place).free
    if wanted > free:
        found = f"{wanted / 1e6:.0f} MB of a model are to be taken out, and {free / 1e6:.0f} MB are free"
        remedy = "make room there, set TMPDIR to another folder, or unzip the file and give --model the folder in it"
        raise OutputError(str(place.parent), found, "room for as long as the model is loaded", remedy)


def _write_out(archive: ZipFile, infos: Sequence[ZipInfo], place: Path, path: Path) -> None:
    """Write members below `place`, each as large as it is told to be."""
    for info in infos:
        target = place / PurePosixPath(info.filename)
        with archive.open(info) as source, _writing(place, path):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb", buffering=0) as file:
                for part in _parts_of(source, path):
                    file.write(part)
        if target.stat().st_size != info.file_size:
            raise BadZipFile(f"{info.filename} has {target.stat().st_size} bytes instead of {info.file_size}")


def _parts_of(source: IO[bytes], path: Path) -> Iterator[bytes]:
    """A member of the archive at `path`, piece by piece; PlanError where it cannot be read."""
    try:
        while part := source.read(_AT_ONCE):
            yield part
    except OSError as fault:
        raise unreadable(path, fault, PlanError) from fault


@contextmanager
def _writing(place: Path, path: Path) -> Iterator[None]:
    """A block that writes below `place`; OutputError where that fails."""
    try:
        yield
    except OSError as fault:
        found = f"{path} cannot be taken out there ({fault.strerror or fault})"
        raise OutputError(str(place.parent), found, remedy=_ANOTHER_PLACE) from fault
