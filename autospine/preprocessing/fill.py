"""A store is filled: what is whole there stays, the rest is prepared, in processes where there are several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autospine.data.structure import Case
from autospine.errors import AutospineError, DataError
from autospine.machine.jobs import Progress, share_out
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.memory import bounded_workers
from autospine.preprocessing.store import (
    Store,
    StoredCase,
    StoreIndex,
    begin_store,
    is_whole,
    open_prepared,
    write_case,
)


class Source(Protocol):
    """An image on disk, with or without its label."""

    @property
    def case(self) -> Case:
        """Its files."""

    @property
    def stored_name(self) -> str:
        """What it is called in a store."""

    def prepared(self, configuration: Configuration, intensities: Sequence[IntensityPlan]) -> StoredCase:
        """It as `configuration` prepares it; `DataError` where it is unreadable or not what was planned for."""


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know to prepare one case."""

    source: Source
    configuration: Configuration
    intensities: Sequence[IntensityPlan]
    root: Path
    index: StoreIndex

    @property
    def case(self) -> Case:
        return self.source.case


def fill_store(
    root: Path,
    index: StoreIndex,
    sources: Sequence[Source],
    plan: Plan,
    configuration: Configuration,
    *,
    workers: int | None,
    progress: Progress | None,
) -> Store:
    """The store in `root` with every one of `sources`; those that are there already are kept.

    A store with another key is emptied first. At most `workers` processes share the work, and no more than there are
    cores and free memory for; 0 or 1 stay in this process. A case that fails raises, with its name, once the cases
    under way are done; a later call goes on from there.
    """
    begin_store(root, index)
    left = [source for source in sources if not is_whole(root, index, source.stored_name)]
    jobs = [_Job(source, configuration, plan.data.intensities, root, index) for source in left]
    bound = bounded_workers([source.case.files for source in left], configuration)
    run_jobs(_build, jobs, bound if workers is None else min(workers, bound), len(sources) - len(left), progress)
    return open_prepared(root, index.key)


def _build(job: _Job) -> None:
    """Prepare and write one case, unless another process has done so meanwhile."""
    if not is_whole(job.root, job.index, job.source.stored_name):
        write_case(job.root, job.index, job.source.prepared(job.configuration, job.intensities))


def run_jobs(
    build: Callable[[_Job], None], jobs: Sequence[_Job], workers: int, done: int, progress: Progress | None
) -> None:
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
