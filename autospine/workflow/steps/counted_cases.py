"""How far a prediction is, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

_SAID_FROM_S = 60.0
"""Time left that is worth a word."""
_LOOKED_EVERY_S = 10.0


class Pace:
    """Counts cases, here and in other processes, and says how many are left."""

    def __init__(
        self, total: int, done: int, begun: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`total` cases, `done` before; `begun()` says how many were begun by all processes since they came."""
        self._total, self._before, self._begun, self._clock = total, done, begun, clock
        self._start: float | None = None
        self._own = 0
        self._all, self._at_start, self._looked = 0, 0, -_LOOKED_EVERY_S

    def title(self, name: str) -> str:
        """`name (13/1000; 34 cases a minute, 28 min left)` of the case that begins now; where it is soon, no time."""
        now = self._clock()
        if now - self._looked >= _LOOKED_EVERY_S:
            self._looked, self._all = now, self._begun()
        if self._start is None:
            self._start, self._at_start = now, self._all
        number = min(self._total, self._before + max(self._own + 1, self._all))
        passed, made = now - self._start, max(self._own, self._all - self._at_start)
        self._own += 1
        rate = made / passed if passed > 0 else 0.0
        left = (self._total - number + 1) / rate if rate else 0.0
        if left < _SAID_FROM_S:
            return f"{name} ({number}/{self._total})"
        a_minute = f"{rate * 60:.0f}" if rate * 60 >= 10 else f"{rate * 60:.1f}"
        return f"{name} ({number}/{self._total}; {a_minute} cases a minute, {_duration(left)} left)"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
