"""Work on cases, one after another or shared out to processes; what fails names its case."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

from autospine.data.processes import can_share_work, fresh_processes
from autospine.data.structure import Case
from autospine.errors import AutospineError, DataError

Progress = Callable[[str, int, int], None]
"""Called with a case's name, the cases that are done and their total."""


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

    Where processes cannot share work, this one does it all. `progress` counts on from the cases that were `done`
    before.

    Raises:
        DataError: a process was ended from outside, or memory ran out; or what `build` raises, with the case's name.
    """
    workers, total = min(workers, len(jobs)), done + len(jobs)
    here = workers <= 1 or not can_share_work()
    with closing(_run_here(build, jobs) if here else _run_in_processes(build, jobs, workers)) as names:
        for name in names:
            done += 1
            if progress is not None:
                progress(name, done, total)


def _run_here(build: Callable[[J], None], jobs: Sequence[J]) -> Generator[str, None, None]:
    """Each job in this process; yields the names of what is done."""
    for job in jobs:
        try:
            build(job)
        except Exception as fault:
            raise _named(fault, job.case.name) from fault
        yield job.case.name


def _run_in_processes(build: Callable[[J], None], jobs: Sequence[J], workers: int) -> Generator[str, None, None]:
    """The jobs shared out to processes; yields the names as they are done."""
    pool = ProcessPoolExecutor(workers, mp_context=fresh_processes(), initializer=_initialise_worker)
    try:
        running: dict[Future[None], str] = {pool.submit(build, job): job.case.name for job in jobs}
        for future in as_completed(running):
            try:
                future.result()
            except BrokenProcessPool as fault:
                found = f"a process that prepared cases for {jobs[0].root} was ended, most often for lack of memory"
                remedy = "try again with fewer workers (1 needs least); what is done so far is kept"
                raise DataError(str(jobs[0].case.files[0].parent), found, remedy=remedy) from fault
            except Exception as fault:
                raise _named(fault, running[future]) from fault
            yield running[future]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _initialise_worker() -> None:
    """One thread for matrix products, and Ctrl-C left to the parent, which ends its workers itself."""
    import threadpoolctl  # type: ignore[import-untyped]  # comes with scikit-learn

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # products of a few small matrices gain nothing from threads that the neighbouring workers want as well
    threadpoolctl.threadpool_limits(1)


def _named(fault: Exception, case: str) -> Exception:
    """`fault` with the case's name in it: the user's faults keep their kind, ours keep their traceback."""
    if isinstance(fault, AutospineError):
        where = fault.where if case in fault.where else f"{case}: {fault.where}"
        return type(fault)(where, fault.found, fault.expected, fault.remedy)
    if isinstance(fault, MemoryError):
        remedy = "close other programs or try again with fewer workers; what is done so far is kept"
        return DataError(case, "memory ran out while the case was prepared", remedy=remedy)
    return RuntimeError(f"case {case!r} could not be prepared: {fault!r}")
