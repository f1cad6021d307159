"""Cases that are prepared, one after another or in processes; what fails names its case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from autospine.data.jobs import Progress, share_out
from autospine.data.structure import Case
from autospine.errors import AutospineError, DataError


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

    `progress` counts on from the cases that were `done` before.

    Raises:
        DataError: a process was ended from outside, or memory ran out; or what `build` raises, with the case's name.
    """
    total = done + len(jobs)

    def tell(name: str) -> None:
        if progress is not None:
            progress(name, done, total)

    named = [(job.case.name, job) for job in jobs]
    try:
        with closing(share_out(build, named, workers, _naming, tell)) as built:
            for place, _ in built:
                done += 1
                tell(named[place][0])
    except BrokenProcessPool as fault:
        found = f"a process that prepared cases for {jobs[0].root} was ended, most often for lack of memory"
        remedy = "try again with fewer workers (`--workers 1` needs least); what is done so far is kept"
        raise DataError(str(jobs[0].case.files[0].parent), found, remedy=remedy) from fault


@contextmanager
def _naming(case: str) -> Iterator[None]:
    """A block whose faults have the case's name: the user's keep their kind, ours their traceback."""
    try:
        yield
    except BrokenProcessPool:
        raise
    except AutospineError as fault:
        where = fault.where if case in fault.where else f"{case}: {fault.where}"
        raise type(fault)(where, fault.found, fault.expected, fault.remedy) from fault
    except MemoryError as fault:
        remedy = "close other programs or try again with fewer workers (`--workers`); what is done so far is kept"
        raise DataError(case, "memory ran out while the case was prepared", remedy=remedy) from fault
    except Exception as fault:
        raise RuntimeError(f"case {case!r} could not be prepared: {fault!r}") from fault
