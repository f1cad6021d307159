"""Processes that begin with a fresh interpreter, and do not run the caller's script again.

A forked process may hang on the locks of threads that torch or ITK have started. A spawned one is fresh, but first
imports the script that was started: where that calls us without `if __name__ == "__main__"`, each process would begin
all the work anew, and end with an error that says nothing of it. What our processes do is defined in our own modules:
they need no script.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

_exchanging = threading.Lock()


def fresh_processes() -> SpawnContext:
    """A context for pools and loaders; what is given to its processes must not be defined in the caller's script."""
    return _FreshContext()


def can_share_work() -> bool:
    """Whether processes can take turns here: their semaphores lie in shared memory, which may be read-only."""
    try:
        multiprocessing.get_context("spawn" if sys.platform == "win32" else "fork").Lock()
    except (ImportError, OSError):
        return False
    return True


def forks_by_default() -> bool:
    """Whether the standard library's processes are forked here, and so import nothing."""
    return multiprocessing.get_start_method() == "fork"


class _FreshProcess(SpawnProcess):
    """A spawned process that is told of no script."""

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:  # noqa: N802
        with _without_script():
            return SpawnProcess._Popen(process_obj)


class _FreshContext(SpawnContext):
    Process = _FreshProcess


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
