"""One process at a time: locks that end with the process that holds them, however it ends.

A lock is a hidden file that the system itself locks; the file stays, and means nothing while nobody holds it. Whoever
holds it writes into it who they are, for whoever finds it taken. Locks hold between the machines of a network file
system that supports them; where a file system knows no locks, work goes on without, as it would with an older version.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from autospine.data.disk.files import hidden_name, unwritable
from autospine.errors import OutputError

_POLL_S = 0.2
_LINGERS_S = 20.0
"""For so long the workers of a process that was killed may still hold what it held; torch has them look after their
parent every five seconds."""
_SAID_EVERY_S = 60.0
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""What a file system says that knows no locks."""


@contextmanager
def locked(path: Path, where: Path, tell: Callable[[str], None] | None = None) -> Iterator[None]:
    """A block that one process alone is in, of all that name this `path`.

    Args:
        path: the lock's file; its folder must be there.
        where: what is worked on, for messages.
        tell: called with who holds the lock, at once and then every minute, while this process waits for it; None: it
            does not wait.

    Raises:
        OutputError: another process holds it and `tell` is None, or its file cannot be made.
    """
    path = path.with_name(hidden_name(path.name, path.name, "lock"))
    lock = _lock_of(path)
    try:
        _acquire(lock, path, where, tell)
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise unwritable(path, error) from error
        yield
        return
    try:
        with suppress(OSError):
            path.write_text(json.dumps(_this_process()), encoding="utf-8")
        yield
    finally:
        lock.release()


def find_holder(path: Path) -> str | None:
    """Which other process holds the lock of this `path`, as a message names it; None where nobody does."""
    if not path.is_file():
        return None
    try:
        with _lock_of(path).acquire(blocking=False):
            return None
    except filelock.Timeout:
        holder = _read_holder(path)
    except (OSError, NotImplementedError):
        return None
    here = holder.get("machine") == socket.gethostname() and holder.get("process") == os.getpid()
    return None if here else _described(holder)


def _lock_of(path: Path) -> filelock.BaseFileLock:
    # whoever may write into the folder may take the lock, whatever the umask of who took it first: it holds nothing
    mode = 0o666
    return filelock.FileLock(path, mode=mode, poll_interval=_POLL_S, thread_local=False, fallback_to_soft=False)


def _acquire(lock: filelock.BaseFileLock, path: Path, where: Path, tell: Callable[[str], None] | None) -> None:
    """Take `lock`; raise `OutputError` where another process has it and there is nobody to `tell` of the waiting."""
    began, said = time.monotonic(), -_SAID_EVERY_S
    while True:
        try:
            lock.acquire(timeout=_POLL_S)
            return
        except filelock.Timeout:
            holder = _read_holder(path)
        waited = time.monotonic() - began
        if _is_gone(holder) and waited < _LINGERS_S:
            continue
        if tell is None:
            remedy = "wait until it has ended, or stop it and run this again"
            raise OutputError(str(where), f"in use by {_described(holder)}", "one process at a time", remedy) from None
        if waited - said >= _SAID_EVERY_S:
            said = waited
            tell(f"{where} is in use by {_described(holder)}: waiting until it has ended")


def _this_process() -> dict[str, str | int]:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"process": os.getpid(), "machine": socket.gethostname(), "command": command}


def _read_holder(path: Path) -> dict[str, object]:
    """Who holds the lock; empty where they have not written it yet."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _is_gone(holder: dict[str, object]) -> bool:
    """Whether the holder was a process of this machine that is no more, or has not said who it is."""
    process = holder.get("process")
    if not isinstance(process, int):
        return True
    if holder.get("machine") != socket.gethostname() or sys.platform == "win32":  # where signal 0 ends a process
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _described(holder: dict[str, object]) -> str:
    if not holder:
        return "another process"
    machine = holder.get("machine")
    place = "" if machine == socket.gethostname() else f" on {machine}"
    return f"process {holder.get('process')}{place} (`{holder.get('command')}`)"
