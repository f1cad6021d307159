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
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Store, case_files, fill_store, store_name, stored_key

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

    An image that is no longer what its digest says raises `DataError`. The rest is as `fill_store` has it.
    """
    key = images_key(plan, configuration)
    jobs = [_Job(source, configuration, plan.data.intensities, root, key) for source in sources]
    index = {"key": key, "cases": {}, "images_alone": True}
    return fill_store(root, index, jobs, configuration, workers, progress)


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

    @property
    def files(self) -> tuple[Path, ...]:
        return case_files(self.root, self.source.stored_name).alone

    def build(self) -> None:
        """Prepare and write the image."""
        from autospine.data.check import image_digest  # reads images; a process that only opens a store does not
        from autospine.data.dataset import load_case

        source, name = self.source, self.source.stored_name
        loaded = load_case(source.dataset, source.case).image
        array = loaded.array[list(source.order)]
        if image_digest(array) != source.digest or loaded.geometry.spacing_mm != source.spacing_mm:
            found = "the image is not the one that the plan was made from, or has changed while it was prepared"
            remedy = "run `autospine plan DATASET --overwrite` where its data have changed, else run this again"
            raise DataError(source.case.shown, found, "the same files as before", remedy)
        prepared = prepare_case(
            array, None, loaded.geometry.spacing_mm, self.configuration, self.intensities, name, source.missing
        )
        image, properties = self.files
        write_array(image, prepared.image)
        write_json(properties, {"key": self.key, **prepared.properties.to_json()})
