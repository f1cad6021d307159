"""Memory: all that the machine has, what is free of it, what processes share, and how many of them it holds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SHARED = Path("/dev/shm")
"""Memory that processes share; a container whose disk is read-only has it all the same, though perhaps 64 MB of it."""
_CGROUP = Path("/sys/fs/cgroup")


def free_bytes() -> int:
    """Memory that can be had now without swapping; a container's own limit counts."""
    free = 4_000_000_000  # where the system does not say: enough for one or two cases
    with suppress(AttributeError, OSError, ValueError):
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, StopIteration, ValueError):  # Linux knows better: what it would give up counts
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    with suppress(OSError, ValueError):
        limit, used = ((_CGROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        free = min(free, max(0, int(limit) - int(used)))
    left = _address_space_left()
    return free if left is None else min(free, left)


def _address_space_left() -> int | None:
    """What `ulimit -v`, which batch systems set, leaves to this process; None where it sets no limit."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        taken = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else max(0, limit - taken)


def resident_bytes() -> int:
    """Memory that this process has in RAM now; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def total_bytes() -> int | None:
    """All memory of this machine, or a container's share of it where that is less; None where no one says."""
    total: int | None = None
    with suppress(AttributeError, OSError, ValueError):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        total = limit if total is None else min(total, limit)
    return total


def shared_bytes() -> int | None:
    """Shared memory that is free; None where it has no limit of its own."""
    try:
        room = os.statvfs(SHARED)
    except (AttributeError, OSError):
        return None
    return room.f_bavail * room.f_frsize


def workers_that_fit(wanted: int, free: float, each: float) -> int:
    """How many of `wanted` processes `free` bytes hold, where one takes `each`; none where they hold none."""
    return max(0, min(wanted, int(free // each)))
