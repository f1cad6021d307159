"""Who comes when: a bounded number of requests on this machine, one of them predicted at a time, in order.

A place is taken before a body is read and given back when the answer is sent: what uploads take of memory and disk is
so bounded, whatever comes. All of it is touched by the thread of the event loop alone, but for what is computed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from autospine.serve.refusals import RequestError

Result = TypeVar("Result")


class Turns:
    """Places, and the one thread that computes."""

    def __init__(self, places: int) -> None:
        """`places` requests at once, one of them computed."""
        self.places = places
        self.taken = 0
        self.computing = False
        self.ended = False
        """Nothing begins any more; set from a signal, which may come at any time."""
        self._one = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "predicting")

    @contextmanager
    def place(self) -> Iterator[None]:
        """A block in which a place is held; `RequestError` 503 where there is none, or the server ends."""
        self._check_ended()
        if self.taken >= self.places:
            found = f"busy: {self.taken} requests are here already"
            raise RequestError(503, "server", found, f"at most {self.places}", "send it again later")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def compute(self, work: Callable[[], Result]) -> Result:
        """What `work` gives, in the thread and in turn; `RequestError` 503 where the server ends before."""
        async with self._one:
            self._check_ended()
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._computed, work)

    def close(self) -> None:
        """Take nothing more; what is computed now goes on in its thread."""
        self.ended = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _computed(self, work: Callable[[], Result]) -> Result:
        self.computing = True
        try:
            return work()
        finally:
            self.computing = False

    def _check_ended(self) -> None:
        if self.ended:
            raise RequestError(503, "server", "it is about to end", remedy="send it again later")
