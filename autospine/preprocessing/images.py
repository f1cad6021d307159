"""Images alone, prepared as the cases of a training are: for what learns without masks.

    runs/<dataset>/prepared/images_<configuration>/
        store.json, <name>.image.npy, <name>.properties.json     as in `store`

An image is called after its content: the same one under two names is kept once, and what one fold has prepared serves
the others. Channels come in the plan's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import json_digest
from autospine.data.structure import Case, Dataset
from autospine.errors import DataError
from autospine.machine.jobs import Progress
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.fill import fill_store
from autospine.preprocessing.keys import images_key
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Store, StoredCase, StoreIndex

NAME_LENGTH = 32
"""Hexadecimal digits of a content's hash that name it."""


@dataclass(frozen=True)
class ImageSource:
    """An image on disk, and what it holds."""

    dataset: Dataset
    """Its one case is `case`."""
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

    def prepared(self, configuration: Configuration, intensities: Sequence[IntensityPlan]) -> StoredCase:
        """It as `configuration` prepares it; `DataError` where it is no longer what its digest says."""
        from autospine.data.check import image_digest  # reads images; a process that only opens a store does not
        from autospine.data.dataset import load_case

        loaded = load_case(self.dataset, self.case).image
        array, spacing_mm = loaded.array[list(self.order)], loaded.geometry.spacing_mm
        if image_digest(array) != self.digest or spacing_mm != self.spacing_mm:
            found = "the image is not the one that the plan was made from, or has changed while it was prepared"
            remedy = "run `autospine plan DATASET --overwrite` where its data have changed, else run this again"
            raise DataError(self.case.shown, found, "the same files as before", remedy)
        case = prepare_case(array, None, spacing_mm, configuration, intensities, self.stored_name, self.missing)
        return StoredCase.of_image(case.image, case.properties)


def prepare_images(
    sources: Sequence[ImageSource],
    plan: Plan,
    configuration: Configuration,
    root: Path,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """The store in `root` with every one of `sources`, filled as `fill_store` does."""
    index = StoreIndex(images_key(plan, configuration), "images")
    return fill_store(root, index, sources, plan, configuration, workers=workers, progress=progress)
