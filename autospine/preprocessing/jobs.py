"""Work on cases, one after another or shared out to processes; what fails names its case."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from autospine.data.processes import begin_worker, fresh_processes, kill_fresh_processes, may_start_processes
from autospine.data.structure import Case
from autospine.errors import AutospineError, DataError

Progress = Callable[[str, int, int], None]
"""Called with a case's name, the cases that are done and their total."""
WAITING_SAID_EVERY_S = 60.0
"""Seconds without a case that is done after which the cases under way are named."""
ENDING_S = 600.0
"""Seconds that the cases under way have to be done when the work is stopped or one has failed."""


class Job(Protocol):
    """What a process needs to know to prepare one case."""

    @property
    def case(self) -> Case:
        """The case."""

    @property
    def root(self) -> Path:
        """The folder that it is prepared for."""


J = TypeVar("J", bound=Job)


def run_jobs(build: Callable[[J], None], jobs: Sequence[J], workers: int, done: int, progress: Progress | None) -> None:
    """Call `build` for every one of `jobs`, in this process or, where `workers` are more than one, in so many.

    `progress` counts on from the cases that were `done` before. Where this process may not start others, it does all of
    the work itself.

    Raises:
        DataError: a process was ended from outside, or memory ran out; or what `build` raises, with the case's name.
    """
    workers, total = min(workers, len(jobs)), done + len(jobs)

    def tell(name: str) -> None:
        if progress is not None:
            progress(name, done, total)

    here = workers <= 1 or not may_start_processes()
    with closing(_run_here(build, jobs) if here else _run_in_processes(build, jobs, workers, tell)) as names:
        for name in names:
            done += 1
            tell(name)


def _run_here(build: Callable[[J], None], jobs: Sequence[J]) -> Generator[str, None, None]:
    """Each job in this process; yields the names of what is done."""
    for job in jobs:
        try:
            build(job)
        except Exception as fault:
            raise _named(fault, job.case.name) from fault
        yield job.case.name


def _run_in_processes(
    build: Callable[[J], None], jobs: Sequence[J], workers: int, tell: Callable[[str], None]
) -> Generator[str, None, None]:
    """The jobs shared out to processes; yields the names as they are done. `tell` is told where none is for long."""
    running: dict[Future[None], str] = {}
    try:
        with _pool(workers, running) as pool:
            for job in jobs:
                running[pool.submit(build, job)] = job.case.name
            yield from _done(running, workers, tell)
    except BrokenProcessPool as fault:
        found = f"a process that prepared cases for {jobs[0].root} was ended, most often for lack of memory"
        remedy = "try again with fewer workers (`--workers 1` needs least); what is done so far is kept"
        raise DataError(str(jobs[0].case.files[0].parent), found, remedy=remedy) from fault


def _done(running: dict[Future[None], str], workers: int, tell: Callable[[str], None]) -> Iterator[str]:
    """The names of cases as they are done; raises what one of them raised."""
    left, since = set(running), time.monotonic()
    while left:
        ended, left = wait(left, WAITING_SAID_EVERY_S, FIRST_COMPLETED)
        if not ended:
            under_way = [name for future, name in running.items() if future in left and future.running()]
            minutes = (time.monotonic() - since) / 60
            tell(f"{', '.join(under_way[:workers])}: under way, and no other done, for {minutes:.0f} min")
        for future in ended:
            since = time.monotonic()
            try:
                future.result()
            except BrokenProcessPool:
                raise
            except Exception as fault:
                raise _named(fault, running[future]) from fault
            yield running[future]


@contextmanager
def _pool(workers: int, running: Collection[Future[None]]) -> Iterator[ProcessPoolExecutor]:
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


def _named(fault: Exception, case: str) -> Exception:
    """`fault` with the case's name in it: the user's faults keep their kind, ours keep their traceback."""
    if isinstance(fault, AutospineError):
        where = fault.where if case in fault.where else f"{case}: {fault.where}"
        return type(fault)(where, fault.found, fault.expected, fault.remedy)
    if isinstance(fault, MemoryError):
        remedy = "close other programs or try again with fewer workers (`--workers`); what is done so far is kept"
        return DataError(case, "memory ran out while the case was prepared", remedy=remedy)
    return RuntimeError(f"case {case!r} could not be prepared: {fault!r}")
