"""Processes that do not run the caller's script again, and end with their parent.

A forked process may hang on the locks of threads that torch or ITK have started. A spawned one is fresh, but first
imports the script that was started: where that calls us without `if __name__ == "__main__"`, each process would begin
all the work anew, and end with an error that says nothing of it. What our processes do is defined in our own modules:
they need no script. Loaders are forked all the same where Python's own processes are: they import nothing, so that they
start at once.

A signal that stops work goes to a whole group of processes (Ctrl-C in a terminal, SLURM, `timeout`, a container's end).
The parent alone answers it: it may still need what its processes are about to give. So they are started with these
signals blocked, ignore them from then on, and end when their parent tells them to or is no more.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext, SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

_ASKING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
STOPPING = tuple(getattr(signal, name) for name in _ASKING if hasattr(signal, name))
"""Signals that ask a process to stop; Windows has not all of them. SIGUSR1 is what clusters are told to send some time
before a job's own is over (SLURM's `--signal=USR1@300`)."""

_exchanging = threading.Lock()


def fresh_processes() -> SpawnContext:
    """A context for pools and loaders; what is given to its processes must not be defined in the caller's script."""
    _start_tracker()
    return _FreshContext()


def loader_processes() -> BaseContext:
    """A context for a loader: forked where the standard library's processes are, which starts at once; else fresh."""
    if sys.platform != "win32" and multiprocessing.get_start_method() == "fork":
        _start_tracker()
        return _ForkedContext()
    return fresh_processes()


def may_start_processes() -> bool:
    """Whether this is a place to start processes from.

    A daemonic process is not allowed to, and beside the thread that starts them others may hold locks that a forked
    process would wait for without end. They take turns by semaphores in shared memory, which may be read-only.
    """
    if multiprocessing.current_process().daemon or threading.current_thread() is not threading.main_thread():
        return False
    try:
        multiprocessing.get_context("spawn" if sys.platform == "win32" else "fork").Lock()
    except (ImportError, OSError):
        return False
    return True


def leave_signals_to_parent() -> None:
    """Ignore what asks to stop, in a process that another one has started and ends itself."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def begin_worker() -> None:
    """What a process of a pool does first: leave the signals to its parent, and watch that this is still there.

    A pool's processes wait for work on a pipe of which they hold both ends: it does not close when their parent is
    killed.
    """
    leave_signals_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def kill_fresh_processes() -> None:
    """Kill the fresh processes that this one has started and that have not ended."""
    for process in multiprocessing.active_children():
        if isinstance(process, _FreshProcess):
            process.kill()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _FreshProcess(SpawnProcess):
    """A spawned process that is told of no script."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802
        with _without_script(), _signals_held():
            return _killable(SpawnProcess._Popen(process_obj))  # type: ignore[attr-defined,unused-ignore]


class _FreshContext(SpawnContext):
    Process = _FreshProcess


if sys.platform != "win32":

    class _ForkedProcess(multiprocessing.context.ForkProcess):
        """A forked process that leaves the signals to its parent."""

        @staticmethod
        def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802
            with _signals_held():
                return _killable(multiprocessing.context.ForkProcess._Popen(process_obj))

    class _ForkedContext(multiprocessing.context.ForkContext):
        Process = _ForkedProcess


def _killable(started: Any) -> Any:
    """`started`, which is killed where it is to be terminated: pools and the exit of Python would wait for it."""
    started.terminate = started.kill
    return started


@contextmanager
def _signals_held() -> Iterator[None]:
    """A block in which what is started is started with the signals of `STOPPING` blocked, and keeps them so."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start Python's own process that clears semaphores away, which a SIGHUP of the group would end before its time.

    It unblocks the other signals when it is started, so that this has to be done before they are held for a process.
    """
    if sys.platform != "win32":
        from multiprocessing import resource_tracker

        with _signals_held():
            resource_tracker.ensure_running()


@contextmanager
def _without_script() -> Iterator[None]:
    """A block in which the script that was started looks like an interactive session, without a file to run again."""
    with _exchanging:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = script
