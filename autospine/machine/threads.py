"""How many threads compute a training step on a CPU: all, unless something else wants the cores too.

The threads of a step wait for each other after every piece of work. Beside another busy process the one that shares its
core is late each time, and fewer threads are faster. On two cores a step took two threads 0.31 s and one 0.13 s beside
a busy neighbour, 0.09 and 0.13 s without it (docs/benchmarks/busy.md).

Which it is changes while a training runs, so that now and then a few steps are made with fewer threads, or with more
again. Sums are then taken in another order: only a training that follows the clock, which depends on the machine's mood
in any case, does so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

EVERY_S = 10.0
"""Seconds between two trials, at least; our own figure, as are the others here."""
SHARE = 0.04
"""Largest share of the time that trials take."""
TRIED_STEPS = 3
"""Steps that are made with each number of threads in a trial; their median counts."""
FASTER = 1.25
"""Times as fast as now that another number has to be. At 1.1 an idle machine went to and fro on a moment's noise."""


def thread_counts(most: int) -> tuple[int, ...]:
    """Numbers of threads that are worth a trial: all, all but one, and half."""
    return tuple(sorted({most, max(1, most - 1), max(1, most // 2)}, reverse=True))


@contextmanager
def given_threads() -> Iterator[int]:
    """A block after which torch computes with as many threads as before it: these."""
    most = torch.get_num_threads()
    try:
        yield most
    finally:
        torch.set_num_threads(most)


@contextmanager
def one_thread() -> Iterator[None]:
    """A block in which torch computes with one thread, so that sums do not depend on how many there are."""
    with given_threads() as usual:
        if usual > 1:
            torch.set_num_threads(1)
        yield


class ThreadTrials:
    """Decides before each step with how many threads it is computed."""

    def __init__(self, most: int, *, active: bool) -> None:
        """Begin with `most` threads; where not `active` it stays at these."""
        self._counts = thread_counts(most) if active else (most,)
        self.threads = most
        """With which the next step is computed, trials aside."""
        self._trying: list[int] = []
        self._found: dict[int, list[float]] = {}
        self._next_at: float | None = None
        self._began = 0.0

    def before_step(self) -> None:
        """Set the threads of the step that begins."""
        if len(self._counts) < 2:
            return
        now = time.monotonic()
        if self._next_at is None:
            self._next_at = now + EVERY_S / 20  # the first steps are none to judge by
        if not self._trying and now >= self._next_at:
            # taking turns, so that a moment of somebody else's work does not fall on one of them alone
            self._trying = [count for _ in range(TRIED_STEPS) for count in self._counts]
            self._found = {count: [] for count in self._counts}
        torch.set_num_threads(self._trying[0] if self._trying else self.threads)
        self._began = now

    def after_step(self) -> None:
        """Take note of what the step took; the last one of a trial decides."""
        if not self._trying:
            return
        self._found[self._trying.pop(0)].append(time.monotonic() - self._began)
        torch.set_num_threads(self.threads)  # for what follows the step, such as a validation
        if not self._trying:
            self.threads = quickest(self._found, self.threads)
            took = sum(sum(times) for times in self._found.values())
            self._next_at = time.monotonic() + max(EVERY_S, took / SHARE)


def quickest(found: dict[int, list[float]], now: int) -> int:
    """The number of threads with the shortest step, by the median; the present one unless another is clearly faster."""
    typical = {count: median(times) for count, times in found.items()}
    best = min(typical, key=lambda count: (typical[count], -count))
    return best if typical[best] * FASTER < typical[now] else now
