"""Figures of a running server in the text format of Prometheus (prometheus.io/docs/instrumenting/exposition_formats).

No figure tells of a patient: paths are those of the routes, not those that were asked for.
"""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

from autospine.machine.memory import resident_bytes

_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
"""From a slice on a GPU to a large volume on a CPU (ours)."""
KIND = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the format."""


class Histogram:
    """Seconds, counted by how long they are."""

    def __init__(self, name: str, about: str) -> None:
        """None yet."""
        self._name, self._about = name, about
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self._counts[sum(seconds > bound for bound in _BOUNDS_S)] += 1
        self._sum += seconds

    def lines(self) -> list[str]:
        """As Prometheus reads it: each bucket counts all that took at most so long."""
        bounds = [*(f"{bound:g}" for bound in _BOUNDS_S), "+Inf"]
        counts = list(accumulate(self._counts))
        buckets = [f'{self._name}_bucket{{le="{b}"}} {c}' for b, c in zip(bounds, counts, strict=True)]
        sums = [f"{self._name}_sum {self._sum:g}", f"{self._name}_count {counts[-1]}"]
        return [*_head(self._name, "histogram", self._about), *buckets, *sums]


class Metrics:
    """What is counted of a server since it was started."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._requests: Counter[tuple[str, int]] = Counter()
        self._received = 0
        self._request_s = Histogram("autospine_request_seconds", "Requests, until all is answered.")
        self.prediction_s = Histogram("autospine_prediction_seconds", "Predictions: reading, network and writing.")

    def count(self, route: str, status: int, seconds: float, received: int) -> None:
        """A request of `received` bytes that has been answered."""
        self._requests[route, status] += 1
        self._request_s.add(seconds)
        self._received += received

    def text(self, taken: int, places: int) -> str:
        """All of it, with how many of the `places` are taken now."""
        name = "autospine_requests_total"
        requests = [
            f'{name}{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self._requests.items())
        ]
        lines = [
            *_head(name, "counter", "Requests answered."),
            *requests,
            *_one("autospine_received_bytes_total", "counter", "Bytes of bodies.", self._received),
            *_one("autospine_queue_length", "gauge", "Requests that are here: received, waiting, predicted.", taken),
            *_one("autospine_queue_places", "gauge", "Requests that may be here at once.", places),
            *self._request_s.lines(),
            *self.prediction_s.lines(),
        ]
        lines += _one("process_resident_memory_bytes", "gauge", "Memory of the server.", resident_bytes())
        return "\n".join(lines) + "\n"


def _one(name: str, kind: str, about: str, value: int) -> list[str]:
    return [*_head(name, kind, about), f"{name} {value}"]


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
