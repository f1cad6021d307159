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
from collections.abc import Callable, Iterator, Mapping
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
            path.write_text(json.dumps(this_process()), encoding="utf-8")
        yield
    finally:
        lock.release()


def try_lock(descriptor: int) -> bool:
    """Whether this process now holds the lock of an open file, which ends where its descriptor is closed.

    False where another one holds it, of another thread as well. True on a file system that knows no locks, where work
    goes on without.

    Raises:
        OSError: the file cannot be locked for another reason.
    """
    try:
        return filelock.lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return True


def this_process() -> dict[str, str | int]:
    """Who this process is, for those who find what it holds taken."""
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"process": os.getpid(), "machine": socket.gethostname(), "command": command}


def describe_holder(holder: Mapping[str, object]) -> str:
    """Who `this_process` of another process says that it is, as a message names it."""
    if not holder:
        return "another process"
    machine = holder.get("machine")
    place = "" if machine == socket.gethostname() else f" on {machine}"
    return f"process {holder.get('process')}{place} (`{holder.get('command')}`)"


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
    return None if here else describe_holder(holder)


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
            raise OutputError(
                str(where), f"in use by {describe_holder(holder)}", "one process at a time", remedy
            ) from None
        if waited - said >= _SAID_EVERY_S:
            said = waited
            tell(f"{where} is in use by {describe_holder(holder)}: waiting until it has ended")


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
