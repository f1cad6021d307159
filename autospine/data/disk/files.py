"""Files that are either whole or not there.

Everything is written to a temporary file in the folder it belongs to (`temporaries`), brought to the disk, looked at
where its writer does not tell of a full disk, and renamed: a run that is stopped, killed or out of room leaves no
half-written file, and what stood there before stays.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from autospine.data.disk.temporaries import is_temporary, temporary_beside
from autospine.errors import AutospineError, DataError, OutputError

_SURROGATE = re.compile("[\ud800-\udfff]")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a full disk."""
_OF_THE_DISK = (*NO_ROOM, errno.EFBIG, errno.EROFS, errno.EIO)
_ANOTHER_FOLDER = "choose a folder that you may write to and that has space left"
_MAKE_ROOM = "make room on its disk, or choose another folder, and run the same command again"
_NAME_BYTES = 255
"""Of a file's name, at most."""
MOST_BYTES = 1 << 29
"""Of a text file that is read: a description of 100 000 cases has some 10^8 (ours)."""
_PIECE = 1 << 20
KEY_LENGTH = 12
"""Digits of a digest that are enough to tell things of a kind from each other: a plan from its edits, say."""


def json_digest(content: object) -> str:
    """SHA-256 of `content` as JSON: the same for the same values, whatever the order of the keys in a table."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_digest(path: Path, error: type[AutospineError] = DataError) -> str:
    """SHA-256 of the content of a file; one that cannot be read raises `error`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise unreadable(path, fault, error) from fault


@contextmanager
def atomic_path(path: Path, whole: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well; a symbolic link is written through.

    The folder is made where it is missing. When the block raises, the temporary file is removed and an earlier
    `path` stays as it was. The file has the mode of the umask, whatever the writer gave it.

    Where `path` is the temporary path of a block around, it is itself what is written: it keeps the lock that tells
    others that it is in use, and that block brings it to the disk and says what is wrong with it.

    Args:
        path: the file to write.
        whole: whether a file that was written has all that was put into it; for writers that go on in silence where
            the disk is full. None: the block raises then, as Python's own files do.

    Raises:
        OutputError: an `OSError` of the folder, of the block or of the renaming, what a library raises after an
            `OSError` of the disk, or a file that is not `whole`.
    """
    with ExitStack() as stack, staged_path(path, stack, whole) as temporary:
        yield temporary


@contextmanager
def staged_path(path: Path, stack: ExitStack, whole: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """As `atomic_path`, of which the file gets its name later: when `stack` ends well; it is removed when it does not.

    So a file that belongs to another one can be whole before that is, and still not be seen without it.
    """
    path = Path(path)
    if is_temporary(path):
        yield path
        _check_whole(path, whole)
        return
    with _named_as(path) as said:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():  # a pipe or a device would be replaced
            raise OSError(errno.EEXIST, "what has this name is no file")
        temporary, descriptor = stack.enter_context(temporary_beside(target))
        said.append(str(temporary))
        yield temporary
        _settle(temporary, descriptor)
        _check_whole(temporary, whole)

    def give_name(kind: type[BaseException] | None, *more: object) -> None:
        if kind is None:
            with _named_as(path):
                os.replace(temporary, target)
            _flush_folder(target.parent)

    stack.push(give_name)


@contextmanager
def _named_as(path: Path) -> Iterator[list[str]]:
    """A block of which faults in writing are said of `path`, also those of the temporary files that it is given."""
    names: list[str] = []
    try:
        yield names
    except OSError as error:
        raise unwritable(path, error) from error
    except AutospineError as error:
        if error.where not in names:
            raise
        raise type(error)(str(path), error.found, error.expected, error.remedy) from error
    except Exception as error:  # torch and others hide the fault of the disk behind one of their own
        fault = _fault_of_the_disk(error)
        if fault is None:
            raise
        raise unwritable(path, fault) from error


def _check_whole(written: Path, whole: Callable[[Path], bool] | None) -> None:
    if whole is not None and not whole(written):
        raise OSError(errno.ENOSPC, "it was cut off while it was written")


def unwritable(path: Path, fault: OSError) -> OutputError:
    """The error of a `path` that cannot be written, with the room on its disk."""
    # libraries that count what they have written give no number of the system's
    remedy = _MAKE_ROOM if fault.errno in (*NO_ROOM, None) else _ANOTHER_FOLDER
    if fault.errno == errno.EFBIG:
        remedy = "have the limit of a file's size raised (`ulimit -f` shows it), or choose another folder"
    return OutputError(str(path), f"cannot be written ({fault.strerror or fault}){_room(path)}", remedy=remedy)


def _room(path: Path) -> str:
    """What is free on the disk of `path`, as the end of a sentence; empty where nobody says."""
    for folder in Path(os.path.realpath(path)).parents:
        with suppress(OSError):
            free = float(shutil.disk_usage(folder).free)
            break
    else:
        return ""
    unit = "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if free < 1000:
            break
        free, unit = free / 1000, larger
    return f"; {free:.3g} {unit} are free on its disk"


def _fault_of_the_disk(error: BaseException | None) -> OSError | None:
    """The `OSError` of a disk that `error` was raised after, None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            return error
        error = error.__cause__ or error.__context__
    return None


def _settle(path: Path, descriptor: int) -> None:
    """Bring the file to the disk: a name must not survive a power cut that its content did not.

    A writer may have put a file of its own in the place of the one that was made: that gets the mode of the first.
    """
    os.fsync(descriptor)
    made, found = os.fstat(descriptor), path.stat()
    if not os.path.samestat(made, found):
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        path.chmod(stat.S_IMODE(made.st_mode))


def _flush_folder(folder: Path) -> None:
    """Bring the name to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_whole_archive(path: Path) -> bool:
    """Whether a ZIP file, as torch and numpy write, has its end: the list of what is in it."""
    return zipfile.is_zipfile(path)


def unreadable(path: Path, fault: OSError, error: type[AutospineError] = DataError) -> AutospineError:
    """The `error` of a file that is there and cannot be read: that says nothing of what is in it."""
    remedy = "have its owner give you the right to read it" if isinstance(fault, PermissionError) else ""
    return error(str(path), f"cannot be read ({fault.strerror or fault})", remedy=remedy)


def hidden_name(name: str, of: str, ending: str) -> str:
    """`name`; where that is too long for a file, one that a digest of `of` makes, hidden and with this ending."""
    if len(os.fsencode(name)) <= _NAME_BYTES:
        return name
    return f".{hashlib.sha256(os.fsencode(of)).hexdigest()[:32]}.{ending}"


def check_name(path: Path, error: type[AutospineError] = DataError) -> None:
    """Raise `error` where an image cannot be read or written for its name alone.

    The bytes of a name that are no UTF-8 are kept as surrogates by Python, and end the whole process in ITK; a NIfTI
    file is known by its suffix in lower or upper case, not in both.
    """
    if _SURROGATE.search(str(path)):
        raise error(str(path), "a name that is not UTF-8", "names in UTF-8", "rename it, or the folder that it is in")
    named = re.search(r"(?i)\.nii(\.gz)?$", path.name)
    if named and named[0] not in (named[0].lower(), named[0].upper()):
        raise error(str(path), f"a suffix {named[0]}", named[0].lower(), "rename it")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all; of file names that are none, the other bytes become U+FFFD."""
    with atomic_path(path) as temporary:
        temporary.write_text(_SURROGATE.sub("\ufffd", text), encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON; NaN and infinity are refused, since JSON has no such numbers.

    Bytes of file names that are no UTF-8 are written as JSON escapes them, and read again as they were.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def read_json(
    path: Path,
    error: type[AutospineError] = DataError,
    most_bytes: int = MOST_BYTES,
    remedy: str = "correct the file or restore it",
) -> Any:
    """The content of a JSON file of at most `most_bytes`; what cannot be read raises `error` naming the file.

    `remedy` is for what is no JSON. A key that stands twice in a table is refused: which of the two was meant, nobody
    knows.
    """
    try:
        return json.loads(read_text(path, error, most_bytes), object_pairs_hook=_table)
    except (ValueError, RecursionError) as fault:
        found = f"not a JSON file ({fault})"
        raise error(str(path), found, "text in JSON", remedy) from fault


def read_text(path: Path, error: type[AutospineError] = DataError, most_bytes: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8, with or without the mark that some editors begin a file with.

    What is no file, as a folder or a pipe, is not opened, and no more than `most_bytes` is read. Raises `error` naming
    the file.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise error(str(path), "cannot be read (not a file)", "a file with text", "check the path")
        with path.open("rb") as file:
            content = bytearray()
            # piece by piece: what may be read at most is taken from memory at once where it is asked for at once
            while len(content) <= most_bytes and (piece := file.read(_PIECE)):
                content += piece
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise error(str(path), "no such file") from fault
    except OSError as fault:
        raise unreadable(path, fault, error) from fault
    except ValueError as fault:  # a name with a zero byte in it
        raise error(str(path), f"cannot be read ({fault})") from fault
    if len(content) > most_bytes:
        found, expected = (f"{said} {most_bytes >> 20} MiB" for said in ("more than", "a text file of at most"))
        raise error(str(path), found, expected, "check that it is the right file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(str(path), f"not text in UTF-8 ({fault})", "text in UTF-8", "save it as UTF-8") from fault


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The keys and values of a JSON table; ValueError where a key stands there twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:100]!r} stands twice in a table")
    return table
