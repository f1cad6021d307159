"""Temporary files of which others can tell whether somebody still writes them.

A file that is being written stands beside its place as `.tmp-<system>-<random>-<name>`; the end of the name is that of
the wanted one, which keeps the suffixes that writers choose their format by. Its writer holds the system's lock on it,
and that ends with the process, however it ends. So a free lock tells of a dead writer: at once where the same running
system made the file (a container shares that with its host), after a day where another one did, since not every
file system carries locks from machine to machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_TEMPORARY = re.compile(r"\.tmp-(?:([0-9a-f]{8})-[0-9a-f]{8}|[0-9a-f]{12})-")
"""The name, and of which system; earlier versions did not write that, and held no lock."""
_KEPT = 56
"""Characters of the wanted name: a name has 255 bytes at most, and a character up to four."""
_ABANDONED_S = 24 * 3600.0
_swept: set[Path] = set()
_written: set[Path] = set()
"""The temporary files of this process."""


@contextmanager
def temporary_beside(target: Path) -> Iterator[tuple[Path, int]]:
    """An empty file beside `target` and a descriptor of it, which holds its lock; removed where it is left.

    It has the mode that a new file has here: that of the process's umask, or of the folder's access list. What dead
    processes have left in the folder is removed when this process first writes there.

    Raises:
        OSError: it cannot be made.
    """
    if target.parent not in _swept:
        _swept.add(target.parent)
        remove_abandoned(target.parent)
    path, descriptor = _create(target)
    _written.add(path)
    try:
        yield path, descriptor
    finally:
        _written.discard(path)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether `path` is one that this process has from `temporary_beside`, and has not left."""
    return path in _written


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in `folder` whose writers are gone; what cannot be told or removed stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = _TEMPORARY.match(entry.name)
            if named and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_abandoned(Path(entry.path), named[1] == _running_system())


def _remove_if_abandoned(path: Path, made_here: bool) -> None:
    descriptor = os.open(path, os.O_RDWR)  # network file systems lock only what may be written
    try:
        known = _lock(descriptor) and made_here
        if known or time.time() - os.fstat(descriptor).st_mtime > _ABANDONED_S:
            path.unlink()
    finally:
        os.close(descriptor)


def _create(target: Path) -> tuple[Path, int]:
    while True:
        unique = f".tmp-{_running_system()}-{uuid.uuid4().hex[:8]}-"
        path = target.with_name(unique + target.name.lower()[-_KEPT:])  # writers know suffixes in lower case alone
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(BlockingIOError):  # whoever clears the folder has it, and removes it
            _lock(descriptor)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _lock(descriptor: int) -> bool:
    """Whether the file could be locked; `BlockingIOError` where another process has it."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # this file system knows no locks
        return False
    return True


@cache
def _running_system() -> str:
    """Eight digits for what keeps the locks: the running kernel, or the machine where it does not name itself."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        name = socket.gethostname().encode()
    return hashlib.sha256(name).hexdigest()[:8]
