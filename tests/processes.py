"""Processes that tests start and watch."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def wait_for(condition: Callable[[], object]) -> None:
    """Return once `condition` holds; fail where it does not within 90 seconds."""
    deadline = time.monotonic() + 90
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def group(number: int) -> set[int]:
    """Processes of the group `number` that have not ended; none where there is no /proc."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, pgid = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(pgid) == number and state != "Z":
            found.add(int(folder.name))
    return found
