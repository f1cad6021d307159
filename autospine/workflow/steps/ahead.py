"""Threads beside the one that computes: the next thing is fetched, and the last one put away, while it does.

Each is one thread at a time, of which the process does not wait for the end: a disk that does not answer keeps nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

T = TypeVar("T")
ENDING_S = 5.0
"""Seconds that work under way has to end by itself where all is stopped (ours)."""
_END = object()


def one_ahead(source: Iterator[T]) -> Generator[T, None, None]:
    """What `source` gives, the next of it made in a thread while the present one is used.

    What `source` raises is raised where its turn comes. An iterator that is closed early begins nothing more.
    """
    coming: Future[object] = in_background(lambda: next(source, _END))
    try:
        while (item := coming.result()) is not _END:
            coming = in_background(lambda: next(source, _END))
            yield item  # type: ignore[misc]
            del item
    finally:
        has_ended(coming, ENDING_S)


def in_background(work: Callable[[], T]) -> Future[T]:
    """What `work` will have given, in a thread of its own that ends with the process."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # also an interrupt that a library raises: it is raised where it is asked for
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def has_ended(work: Future[T], seconds: float) -> bool:
    """Whether `work` is done, well or not, after so many seconds at most."""
    return not wait([work], seconds).not_done


class Behind(Generic[T]):
    """One thing at a time that is put away in a thread."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._under_way: Future[T] | None = None

    def put(self, work: Callable[[], T]) -> None:
        """Begin with `work`; what was begun before has to be `taken`."""
        assert self._under_way is None
        self._under_way = in_background(work)

    def take(self) -> T | None:
        """What was begun, once it is done; None where nothing was. Raises what it has raised."""
        under_way, self._under_way = self._under_way, None
        return None if under_way is None else under_way.result()

    def ended(self) -> bool:
        """Whether nothing is under way any more, after a few seconds at most."""
        return self._under_way is None or has_ended(self._under_way, ENDING_S)
