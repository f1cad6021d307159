"""A store is filled: what is whole there stays, the rest is prepared, in processes where there are several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autospine.data.jobs import Progress
from autospine.data.structure import Case
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.jobs import run_jobs
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
        """It as `configuration` prepares it, read from its files.

        Raises:
            DataError: they cannot be read, or are not those that were planned for.
        """


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
