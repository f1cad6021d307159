"""Cases in threads beside each other, as many at once as cores and memory hold.

Threads do: unpacking a file, counting voxels and finding the nearest points leave Python to the others, and no process
has to be started. They end with the process: where a command is stopped nobody waits for the cases under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

from autospine.machine.memory import free_bytes

J = TypeVar("J")
R = TypeVar("R")
SHARE = 0.8
"""Of the free memory that cases beside each other may take."""


def side_by_side(work: Callable[[J], R], jobs: Sequence[J], threads: int) -> Iterator[tuple[int, R]]:
    """(place in `jobs`, what `work` gives of it) as they are done, in so many threads; in this one where it is one.

    What `work` raises is raised here, and no further job is begun. So it is where the generator is closed early.
    """
    threads = min(threads, len(jobs))
    if threads <= 1:
        for place, job in enumerate(jobs):
            yield place, work(job)
        return
    left, taking, stopped = iter(enumerate(jobs)), threading.Lock(), threading.Event()
    done: SimpleQueue[tuple[int, list[R] | BaseException]] = SimpleQueue()

    def run() -> None:
        while not stopped.is_set():
            with taking:
                entry = next(left, None)
            if entry is None:
                return
            place, job = entry
            try:
                done.put((place, [work(job)]))
            except BaseException as fault:  # raised again where the result is asked for
                done.put((place, fault))

    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()
    try:
        for _ in jobs:
            place, result = done.get()
            if isinstance(result, BaseException):
                raise result
            yield place, result[0]
    finally:
        stopped.set()


class Room:
    """Memory that is free when the work begins, shared by the cases under way."""

    def __init__(self) -> None:
        """Look how much there is."""
        self._free = SHARE * free_bytes()
        self._changed = threading.Condition()
        self._taken: list[float] = []

    @contextmanager
    def taking(self, size: float) -> Iterator[None]:
        """A block that has `size` bytes. It waits until they are free, or until no other block is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or sum(self._taken) + size <= self._free)
            self._taken.append(size)
        try:
            yield
        finally:
            with self._changed:
                self._taken.remove(size)
                self._changed.notify_all()
