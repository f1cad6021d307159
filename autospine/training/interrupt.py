"""Ctrl-C, termination and a terminal that closes: a request that the loop answers between two steps, or the end.

One stop often arrives as several signals: `timeout` and SLURM send one to the process and one to its group, a shell and
the kernel each send one when a terminal closes. Those within a second of the first are the same stop.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from traceback import walk_stack
from types import FrameType, TracebackType

from autospine.machine.processes import STOPPING

SAME_STOP_S = 1.0
"""For so long after a signal others belong to the same stop; who wants to stop at once asks a second time later."""

_AGAIN_S = 0.1
_IMPORTS = "<frozen importlib._bootstrap>"

_asked_at = -SAME_STOP_S
_entered: list[StopRequest] = []


def stop_requested() -> bool:
    """Whether a stop was asked for that a `StopRequest` around has still to answer; for what waits meanwhile."""
    return any(request.requested for request in _entered)


def end_on_signals() -> None:
    """Have each signal that asks to stop raise `KeyboardInterrupt` in the main thread, as Ctrl-C does.

    What was ignored when the process began stays ignored: SIGHUP after `nohup`, Ctrl-C of a shell's background. A
    training takes Ctrl-C back (`StopRequest`), which costs it nothing. While a module is imported it has to wait: what
    is raised inside a library that is written in C++ ends the whole process with SIGABRT.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if _is_in_import(frame):
            threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
        elif _is_another_stop():
            raise KeyboardInterrupt

    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


class StopRequest:
    """While entered, a signal that asks to stop sets `requested`; a second one, a second later, stops at once.

    SIGHUP stays ignored where it is, as `nohup` has it. SIGINT does not: a shell has its background ignore it, and who
    sends it to this very process still wants it to stop.
    """

    def __init__(self) -> None:
        """Nothing requested yet."""
        self.requested = False
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        """Take over the signals (only the main thread can; elsewhere nothing changes)."""
        _entered.append(self)
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the former handlers back."""
        _entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _request(self, number: int, frame: FrameType | None) -> None:
        if _is_another_stop() and self.requested:
            raise KeyboardInterrupt
        self.requested = True


def _is_in_import(frame: FrameType | None) -> bool:
    """Whether `frame` runs for an `import`, directly or not."""
    return any(outer.f_code.co_filename == _IMPORTS for outer, _ in walk_stack(frame)) if frame else False


def _is_another_stop() -> bool:
    """Whether a signal that has just arrived is a stop of its own."""
    global _asked_at
    now = time.monotonic()
    if now - _asked_at < SAME_STOP_S:
        return False
    _asked_at = now
    return True
