"""What the machine has and how its threads wait; no torch here, and what is set here is set before torch is loaded.

torch computes a step with one OpenMP thread a core, and they meet at a barrier after each piece of work. By default
one that is early turns in a loop there, as if its core were its alone. Beside another busy process no core is: the loop
keeps away the very thread that all wait for, and a step of 0.1 s takes seconds (docs/benchmarks/busy.md).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

from autospine.errors import OutputError

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables by which a user says how threads wait: OpenMP's own, GNU's and Intel's (or LLVM's)."""
SPINS = "1000"
"""Turns at a barrier until a thread of GNU's OpenMP sleeps, some microseconds; what GNU itself takes where threads are
more than cores. Its default is 300 000. Fewer cost an idle machine more, as a sleeper has to be woken."""
BLOCK_MS = "0"
"""Milliseconds that a thread of Intel's OpenMP turns, instead of 200."""
_SHARED_MEMORY = "/dev/shm"
"""A container whose disk is read-only has it all the same."""
_CGROUP = Path("/sys/fs/cgroup")


def let_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have OpenMP's threads sleep soon where they wait, unless the user has said how they are to.

    An OpenMP library reads this once, when it is loaded: it has to be called before `import torch`, and whoever has
    imported torch already keeps what they have. Processes that are started later inherit it.
    """
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = SPINS
        environment["KMP_BLOCKTIME"] = BLOCK_MS


def find_temporary_folder(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have temporary files lie in shared memory where none of the usual folders takes one.

    torch and matplotlib want a folder for them while they are imported, and a container may have none: its disk is
    read-only, or full. Processes that are started later inherit it.

    Raises:
        OutputError: shared memory takes none either.
    """
    try:
        tempfile.gettempdir()
        return
    except FileNotFoundError:
        environment["TMPDIR"] = _SHARED_MEMORY
    try:
        tempfile.gettempdir()
    except FileNotFoundError as fault:
        found = "no folder takes temporary files: each is read-only or full"
        raise OutputError("TMPDIR", found, "one that does", "set TMPDIR to a folder that you may write to") from fault


def free_bytes() -> int:
    """Memory that can be had now without swapping; a container's own limit counts."""
    free = 4_000_000_000  # where the system does not say: enough for one or two cases
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, OSError, ValueError):
            pass
    try:
        limit, used = ((_CGROUP / name).read_text(encoding="ascii") for name in ("memory.max", "memory.current"))
        free = min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):
        pass
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


def total_bytes() -> int | None:
    """All memory of this machine, or a container's share of it where that is less; None where no one says."""
    total: int | None = None
    with suppress(AttributeError, OSError, ValueError):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # "max" is no number: no limit
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        total = limit if total is None else min(total, limit)
    return total


def available_cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
