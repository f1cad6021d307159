"""The cases of a training, each with its label: read, compared with what was planned for, and prepared for a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from autospine.data.structure import IGNORED, Case, in_a_class
from autospine.errors import DataError
from autospine.machine.jobs import Progress
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.fill import fill_store
from autospine.preprocessing.keys import stored_key
from autospine.preprocessing.locations import locate
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import Contents, Store, StoredCase, StoreIndex

if TYPE_CHECKING:
    from autospine.data.structure import Dataset
    from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint

_SEED = 1234


def prepare_dataset(
    dataset: Dataset,
    plan: Plan,
    configuration: Configuration,
    root: Path,
    *,
    fingerprint: Fingerprint | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """The store in `root` with every labelled case of `dataset`, filled as `fill_store` does.

    With the plan's `fingerprint`, a case that is no longer what that was made from raises `DataError`.
    """
    contents: Contents = "components" if configuration.by_component else "labels"
    known = {} if fingerprint is None else {found.case: found for found in fingerprint.cases}
    sources = [
        _LabelledCase(replace(dataset, cases=(case,)), case, plan.data.classes, known.get(case.name))
        for case in dataset.cases
        if case.label is not None
    ]
    labelled = {case.name: case.label is not None for case in dataset.cases}
    index = StoreIndex(stored_key(plan, configuration), contents, labelled)
    return fill_store(root, index, sources, plan, configuration, workers=workers, progress=progress)


@dataclass(frozen=True)
class _LabelledCase:
    """A case on disk that is trained on."""

    dataset: Dataset
    """Its one case is `case`."""
    case: Case
    classes: int
    """Beside the background."""
    fingerprint: CaseFingerprint | None
    """What the plan was made from."""

    @property
    def stored_name(self) -> str:
        return self.case.name

    def prepared(self, configuration: Configuration, intensities: Sequence[IntensityPlan]) -> StoredCase:
        from autospine.data.dataset import load_case  # reads images; a process that only opens a store does not

        loaded, name, missing = load_case(self.dataset, self.case), self.case.name, self.case.missing
        if loaded.label is None:
            raise ValueError(f"case {name!r} is to be prepared for training and has no label")
        if self.fingerprint is not None and not self.fingerprint.is_of(loaded.image.array, loaded.label, missing):
            differs = "the image or its mask is not the one that the plan was made from"
            remedy = "run `autospine plan DATASET --overwrite` for the data as they are now"
            raise DataError(str(self.case.files[0].parent), differs, "the same files as when it was planned", remedy)
        image, reference, spacing_mm = loaded.image.array, loaded.label, loaded.image.geometry.spacing_mm
        if configuration.ignore_unlabelled_slices:
            reference = without_unlabelled_slices(reference, configuration.axis_order[0])
        case = prepare_case(image, reference, spacing_mm, configuration, intensities, name, missing)
        assert case.label is not None  # as there is one of the image
        located = locate(case.label, range(1, self.classes + 1), configuration, _SEED)
        return StoredCase(name, case.image, case.label, reference, case.properties, *located)


def without_unlabelled_slices(label: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.uint8]:
    """`label` (Z, Y, X) with the slices across `axis` that hold no class `IGNORED`, where others hold one."""
    held = in_a_class(label).any(axis=tuple(other for other in range(3) if other != axis))
    if not held.any():
        return label
    left = label.copy()
    np.moveaxis(left, axis, 0)[~held] = IGNORED
    return left
