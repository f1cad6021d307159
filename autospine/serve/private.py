"""A folder that nobody else may look into, for what is uploaded: a folder a request, and nothing that stays.

Uploads are of patients. The folder is of mode 0700 and below the system's folder for temporary files (`TMPDIR`). It
holds a lock that ends with the server: what a server has left that was killed, the next one removes.
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

PREFIX = "autospine-serve-"
_LOCK = ".lock"
_UNLOCKED_S = 3600.0
"""After so long a folder without a lock is one of a server that was killed before it took it."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A new folder of this server, removed with all in it at the end; those of dead servers are removed first.

    Raises:
        OutputError: it cannot be made.
    """
    remove_stale(Path(tempfile.gettempdir()))
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    except OSError as fault:
        raise unwritable(Path(tempfile.gettempdir()), fault) from fault
    try:
        with locked(folder / _LOCK, folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def request_folder(folder: Path) -> Iterator[Path]:
    """A folder of a request in that of the server, removed with all in it."""
    own = Path(tempfile.mkdtemp(prefix="request-", dir=folder))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def remove_stale(parent: Path) -> None:
    """Remove the folders of this user's servers in `parent` that are no more; what cannot be told or removed stays."""
    with suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            with suppress(OSError):
                if _is_stale(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_stale(folder: Path) -> bool:
    status = folder.lstat()  # another user may have put a link there
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not stat.S_ISDIR(status.st_mode) or not mine:
        return False
    if not (folder / _LOCK).is_file():
        return time.time() - status.st_mtime > _UNLOCKED_S
    return _is_free(folder / _LOCK)


def _is_free(lock: Path) -> bool:
    """Whether nobody holds `lock`, this process included."""
    try:
        with filelock.FileLock(lock, fallback_to_soft=False).acquire(blocking=False):
            return True
    except (filelock.Timeout, OSError, NotImplementedError):
        return False
