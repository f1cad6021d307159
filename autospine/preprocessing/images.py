"""Images alone, prepared as the cases of a training are: for what learns without masks.

    runs/<dataset>/prepared/images_<configuration>/
        store.json                 the key
        <name>.image.npy           (C, a0, a1, a2) float32, planned axes; memory-mapped
        <name>.properties.json     the key and the way back; written last

An image is called after its content: the same one under two names is kept once, one that has changed is another, and
what one fold has prepared serves the others. Channels come in the plan's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.files import json_digest, write_json
from autospine.data.jobs import Progress
from autospine.data.structure import Case, Dataset
from autospine.errors import DataError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.arrays import write_array
from autospine.preprocessing.jobs import run_jobs
from autospine.preprocessing.memory import bounded_workers
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Store, begin_store, case_files, has_key, open_prepared, store_name, stored_key

NAME_LENGTH = 32
"""Hexadecimal digits of a content's hash that name it."""


@dataclass(frozen=True)
class ImageSource:
    """An image on disk, and what it holds."""

    dataset: Dataset
    """Where it was found; its one case is `case`."""
    case: Case
    order: tuple[int, ...]
    """For each channel of the plan, which of the image's it is."""
    digest: str
    """Of its voxels, channels in the plan's order (`data.check.image_digest`)."""
    spacing_mm: tuple[float, float, float]
    """Canonical voxel spacing."""

    @property
    def missing(self) -> tuple[int, ...]:
        """Channels of the plan that it lacks."""
        return tuple(index for index, channel in enumerate(self.order) if channel in self.case.missing)

    @property
    def stored_name(self) -> str:
        """What it is called in a store."""
        return json_digest([self.digest, self.missing, self.spacing_mm])[:NAME_LENGTH]


def images_key(plan: Plan, configuration: Configuration) -> str:
    """SHA-256 of everything that prepared images depend on."""
    return json_digest(["images", stored_key(plan, configuration)])


def images_name(plan: Plan, configuration: Configuration) -> str:
    """Name of the folder that holds the prepared images of `configuration`."""
    return f"images_{store_name(plan, configuration)}"


def prepare_images(
    sources: Sequence[ImageSource],
    plan: Plan,
    configuration: Configuration,
    root: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """The store in `root` with every one of `sources`; what is there already is kept.

    A store with another key is emptied first. `workers` are as in `store.prepare_dataset`. An image that is no longer
    what its digest says raises `DataError`.
    """
    key = images_key(plan, configuration)
    begin_store(root, {"key": key, "cases": {}, "images_alone": True})
    jobs = [
        _Job(source, configuration, plan.data.intensities, root, key)
        for source in sources
        if not _is_whole(root, source.stored_name, key)
    ]
    bound = bounded_workers([job.case.files for job in jobs], configuration)
    run_jobs(_build, jobs, bound if workers is None else min(workers, bound), len(sources) - len(jobs), progress)
    return open_prepared(root, key)


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know to prepare one image."""

    source: ImageSource
    configuration: Configuration
    intensities: Sequence[IntensityPlan]
    root: Path
    key: str

    @property
    def case(self) -> Case:
        return self.source.case


def _is_whole(root: Path, name: str, key: str) -> bool:
    image, *_, properties = case_files(root, name)
    return image.is_file() and properties.is_file() and has_key(properties, key)


def _build(job: _Job) -> None:
    """Prepare and write one image, unless another process has done so meanwhile."""
    from autospine.data.check import image_digest  # reads images; a process that only opens a store does not
    from autospine.data.dataset import load_case

    source, name = job.source, job.source.stored_name
    if _is_whole(job.root, name, job.key):
        return
    loaded = load_case(source.dataset, source.case).image
    array = loaded.array[list(source.order)]
    if image_digest(array) != source.digest or loaded.geometry.spacing_mm != source.spacing_mm:
        found = "the image is not the one that the plan was made from, or has changed while it was prepared"
        remedy = "run `autospine plan DATASET --overwrite` where its data have changed, else run this again"
        raise DataError(source.case.shown, found, "the same files as before", remedy)
    prepared = prepare_case(
        array, None, loaded.geometry.spacing_mm, job.configuration, job.intensities, name, source.missing
    )
    image, *_, properties = case_files(job.root, name)
    write_array(image, prepared.image)
    write_json(properties, {"key": job.key, **prepared.properties.to_json()})
