"""Files that are either whole or not there.

Everything is written to a temporary name in the folder it belongs to and renamed when complete, so a run that is
stopped leaves no half-written file. The temporary name starts with a dot and ends in the wanted name, which keeps
the suffixes that writers choose their format by: `case.nii.gz` is written as `.tmp-5f3a...-case.nii.gz`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import Any

from autospine.errors import AutospineError, DataError, OutputError

_SURROGATE = re.compile("[\ud800-\udfff]")
MOST_BYTES = 1 << 29
"""Of a text file that is read: a description of 100 000 cases has some 10^8 (ours)."""
_REMEDY = "choose a folder that you may write to and that has space left"


def json_digest(content: object) -> str:
    """SHA-256 of `content` as JSON: the same for the same values, whatever the order of the keys in a table."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` when the block ends well.

    The folder is made where it is missing. When the block raises, the temporary file is removed and an earlier
    `path` stays as it was. An `OSError` of the folder, of the block or of the renaming becomes an `OutputError`.
    """
    path = Path(path)
    # writers know their suffixes in lower case alone: OUT.NII.GZ is a file as well
    temporary = path.with_name(f".tmp-{uuid.uuid4().hex[:12]}-{path.name.lower()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written ({error.strerror or error})", remedy=_REMEDY) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Bring the file to the disk: a name must not survive a power cut that its content did not."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def read_json(path: Path, error: type[AutospineError] = DataError, most_bytes: int = MOST_BYTES) -> Any:
    """The content of a JSON file of at most `most_bytes`; what cannot be read raises `error` naming the file.

    A key that stands twice in a table is refused: which of the two was meant, nobody knows.
    """
    try:
        return json.loads(read_text(path, error, most_bytes), object_pairs_hook=_table)
    except (ValueError, RecursionError) as fault:
        raise error(
            str(path), f"not a JSON file ({fault})", "text in JSON", "correct the file or restore it"
        ) from fault


def read_text(path: Path, error: type[AutospineError] = DataError, most_bytes: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8, with or without the mark that some editors begin a file with.

    What is no file, as a folder or a pipe, is not opened, and no more than `most_bytes` is read. Raises `error` naming
    the file.
    """
    path = Path(path)
    try:
        if not S_ISREG(path.stat().st_mode):
            raise error(str(path), "cannot be read (not a file)", "a file with text", "check the path")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as fault:
        raise error(str(path), "no such file") from fault
    except (OSError, ValueError) as fault:  # ValueError: a name with a zero byte in it
        raise error(str(path), f"cannot be read ({getattr(fault, 'strerror', None) or fault})") from fault
    if len(content) > most_bytes:
        found = f"more than {most_bytes >> 20} MiB"
        raise error(
            str(path), found, f"a text file of at most {most_bytes >> 20} MiB", "check that it is the right file"
        )
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
