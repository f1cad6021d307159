"""Cores, and how the threads on them wait; no torch here, and what is set here is set before torch is loaded.

torch computes a step with one OpenMP thread a core, and they meet at a barrier after each piece of work. By default
one that is early turns in a loop there, as if its core were its alone. Beside another busy process no core is: the loop
keeps away the very thread that all wait for, and a step of 0.1 s takes seconds (docs/benchmarks/busy.md).
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables by which a user says how threads wait: OpenMP's own, GNU's and Intel's (or LLVM's)."""
SPINS = "1000"
"""Turns at a barrier until a thread of GNU's OpenMP sleeps, some microseconds; what GNU itself takes where threads are
more than cores. Its default is 300 000. Fewer cost an idle machine more, as a sleeper has to be woken."""
BLOCK_MS = "0"
"""Milliseconds that a thread of Intel's OpenMP turns, instead of 200."""


def let_threads_sleep(environment: MutableMapping[str, str] = os.environ) -> None:
    """Have OpenMP's threads sleep soon where they wait, unless the user has said how they are to.

    An OpenMP library reads this once, when it is loaded: it has to be called before `import torch`, and whoever has
    imported torch already keeps what they have. Processes that are started later inherit it.
    """
    if not any(name in environment for name in WAITING):
        environment["GOMP_SPINCOUNT"] = SPINS
        environment["KMP_BLOCKTIME"] = BLOCK_MS


def available_cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
