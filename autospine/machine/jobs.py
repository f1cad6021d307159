"""Work on cases, in this process or shared out to fresh ones; the one place that has a pool of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from autospine.errors import DataError
from autospine.machine.processes import begin_worker, fresh_processes, kill_fresh_processes, may_start_processes

Progress = Callable[[str, int, int], None]
"""Called with a case's name, the cases that are done and their total."""
WAITING_SAID_EVERY_S = 60.0
"""Seconds without a case that is done after which the cases under way are named."""
ENDING_S = 600.0
"""Seconds that the cases under way have to be done when the work is stopped or one has failed."""

J = TypeVar("J")
R = TypeVar("R")


def share_out(
    work: Callable[[J], R],
    jobs: Sequence[tuple[str, J]],
    workers: int,
    naming: Callable[[str], AbstractContextManager[object]] = nullcontext,
    tell: Callable[[str], None] = lambda said: None,
) -> Generator[tuple[int, R], None, None]:
    """(place in `jobs`, what `work` gives of it) as they are done, here or in so many processes.

    Each of the jobs has the name of its case. Where this process may not start others, it does all of the work itself.
    A generator that is closed early lets the cases under way be done.

    Args:
        work: defined in a module of ours, where processes find it.
        jobs: in the order in which they are begun.
        workers: processes; 0 or 1 stay in this one.
        naming: a context for a case's name, in which is raised what its work has raised.
        tell: told what is under way where nothing is done for long.

    Raises:
        BrokenProcessPool: a process was ended from outside.
        DataError: no processes can be started.
    """
    workers = min(workers, len(jobs))
    if workers <= 1 or not may_start_processes():
        for place, (name, job) in enumerate(jobs):
            with naming(name):
                result = work(job)
            yield place, result
        return
    running: dict[Future[R], int] = {}
    with _pool(workers, running) as pool:
        for place, (_, job) in enumerate(jobs):
            running[pool.submit(work, job)] = place
        left, since = set(running), time.monotonic()
        while left:
            ended, left = wait(left, WAITING_SAID_EVERY_S, FIRST_COMPLETED)
            if not ended:
                under_way = [jobs[place][0] for future, place in running.items() if future in left and future.running()]
                minutes = (time.monotonic() - since) / 60
                tell(f"{', '.join(under_way[:workers])}: under way, and no other done, for {minutes:.0f} min")
            for future in ended:
                since = time.monotonic()
                with naming(jobs[running[future]][0]):
                    result = future.result()
                yield running[future], result


@contextmanager
def _pool(workers: int, running: Collection[Future[R]]) -> Iterator[ProcessPoolExecutor]:
    """So many fresh processes for what is `running`; where the block ends early, the cases under way are done.

    No other case is begun then. A second Ctrl-C, or the time limit, kills the processes.
    """
    try:
        pool = ProcessPoolExecutor(workers, mp_context=fresh_processes(), initializer=_initialise_worker)
    except (OSError, ImportError) as fault:
        found = f"no processes can be started: shared memory has no semaphores for them ({fault})"
        raise DataError("preparation", found, remedy="give `--workers 0`: all is done in one process") from fault
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        left = {future for future in running if future.running()}
        try:
            left = wait(left, ENDING_S).not_done
        finally:
            if left:
                kill_fresh_processes()
            pool.shutdown(wait=True)


def _initialise_worker() -> None:
    """One thread for matrix products, and signals left to the parent, which ends its workers itself."""
    import threadpoolctl  # type: ignore[import-untyped]  # comes with scikit-learn

    begin_worker()
    # products of a few small matrices gain nothing from threads that the neighbouring workers want as well
    threadpoolctl.threadpool_limits(1)
