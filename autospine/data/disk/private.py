"""A folder that nobody else may look into, for what is needed for a while: an upload of a patient's, a model unpacked.

It is of mode 0700 and below the system's folder for temporary files (`TMPDIR`). It holds a lock that ends with the
process: what one has left that was killed, the next one that makes such a folder removes.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from autospine.data.disk.files import unwritable
from autospine.data.disk.locks import locked

_LOCK = ".lock"
_UNLOCKED_S = 3600.0
"""After so long a folder whose lock nobody has taken is one of a process that was killed before it did."""


@contextmanager
def private_folder(prefix: str) -> Iterator[Path]:
    """A new folder for a block, removed with all in it at its end; those of dead processes are removed first.

    Its name begins with `prefix`, which says what such folders are for.

    Raises:
        OutputError: it cannot be made.
    """
    remove_stale(Path(tempfile.gettempdir()), prefix)
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    except OSError as fault:
        raise unwritable(Path(tempfile.gettempdir()), fault) from fault
    try:
        with locked(folder / _LOCK, folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def folder_within(folder: Path, prefix: str) -> Iterator[Path]:
    """A new folder in a private one for a block, removed with all in it at its end."""
    own = Path(tempfile.mkdtemp(prefix=prefix, dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_stale(parent: Path, prefix: str) -> None:
    """Remove the folders of this user's dead processes in `parent`; what cannot be told or removed stays."""
    with suppress(OSError):
        for folder in parent.glob(f"{prefix}*"):
            with suppress(OSError):
                if _is_stale(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_stale(folder: Path) -> bool:
    status = folder.lstat()  # another user may have put a link there
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not stat.S_ISDIR(status.st_mode) or not mine:
        return False
    # who has taken the lock has written into it who they are; who has made its file may be about to take it
    if not (folder / _LOCK).is_file() or not (folder / _LOCK).stat().st_size:
        return time.time() - status.st_mtime > _UNLOCKED_S
    return _is_free(folder / _LOCK)


def _is_free(lock: Path) -> bool:
    """Whether nobody holds `lock`, this process included."""
    try:
        with filelock.FileLock(lock, fallback_to_soft=False).acquire(blocking=False):
            return True
    except (filelock.Timeout, OSError, NotImplementedError):
        return False
