"""Labelled cases, prepared for trainings: image, mask, and where each class lies; into a `store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from autospine.data.files import write_json
from autospine.data.jobs import Progress
from autospine.errors import DataError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.arrays import write_array, write_arrays
from autospine.preprocessing.components import measure_components
from autospine.preprocessing.prepare import class_locations, prepare_case, without_unlabelled_slices
from autospine.preprocessing.store import OFFSETS, Store, case_files, fill_store, has_key, stored_key

if TYPE_CHECKING:
    from autospine.data.structure import Case, Dataset
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
    """The store in `root` with every labelled case of `dataset`; cases that are there already are kept.

    With the `fingerprint` of the plan, a case that is no longer what that was made from raises `DataError`. The rest is
    as `fill_store` has it.
    """
    root = Path(root)
    key = stored_key(plan, configuration)
    labelled = {case.name: case.label is not None for case in dataset.cases}
    index = {"key": key, "cases": labelled, **({"components": True} if configuration.by_component else {})}
    known = {} if fingerprint is None else {found.case: found for found in fingerprint.cases}
    jobs = [
        _Job(
            replace(dataset, cases=(case,)),
            case,
            configuration,
            plan.data.intensities,
            plan.data.classes,
            root,
            key,
            known.get(case.name),
        )
        for case in dataset.cases
        if labelled[case.name]
    ]
    return fill_store(root, index, jobs, configuration, workers, progress)


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know to prepare one case."""

    dataset: Dataset
    case: Case
    configuration: Configuration
    intensities: Sequence[IntensityPlan]
    classes: int
    root: Path
    key: str
    fingerprint: CaseFingerprint | None
    """What the plan was made from."""

    @property
    def files(self) -> tuple[Path, ...]:
        return case_files(self.root, self.case.name).labelled(self.configuration.by_component)

    def build(self) -> None:
        """Prepare and write the case."""
        from autospine.data.dataset import load_case  # reads images; a process that only opens the store does not

        name = self.case.name
        loaded = load_case(self.dataset, self.case)
        spacing_mm = loaded.image.geometry.spacing_mm
        label = loaded.label
        if label is not None and self.configuration.ignore_unlabelled_slices:
            label = without_unlabelled_slices(label, self.configuration.axis_order[0])
        intensities, missing = self.intensities, self.case.missing
        prepared = prepare_case(loaded.image.array, label, spacing_mm, self.configuration, intensities, name, missing)
        if prepared.label is None or label is None or loaded.label is None:
            raise ValueError(f"case {name!r} is to be prepared for training and has no label")
        if self.fingerprint is not None and not self.fingerprint.is_of(loaded.image.array, loaded.label, missing):
            differs = "the image or its mask is not the one that the plan was made from"
            remedy = "run `autospine plan DATASET --overwrite` for the data as they are now"
            raise DataError(str(self.case.files[0].parent), differs, "the same files as when it was planned", remedy)
        files = case_files(self.root, name)
        if not has_key(files.properties, self.key):
            files.properties.unlink(missing_ok=True)  # another plan's, which would vouch for half of this one
        written: list[tuple[Path, npt.NDArray[Any]]] = [
            (files.image, prepared.image),
            (files.label, prepared.label),
            (files.reference, label),
        ]
        classes = range(1, self.classes + 1)
        places: dict[str, npt.NDArray[Any]] = {}
        if self.configuration.by_component:
            flat = self.configuration.network.dimension == 2
            found = measure_components(prepared.label, classes, slices_apart=flat, seed=_SEED)
            written.append((files.sizes, found.sizes))
            voxels, places = found.locations, {f"{OFFSETS}{value}": ends for value, ends in found.offsets.items()}
        else:
            voxels = class_locations(prepared.label, classes, _SEED)
        for path, array in written:
            write_array(path, array)
        places |= {str(value): kept for value, kept in voxels.items()}
        write_arrays(files.locations, places)
        write_json(files.properties, {"key": self.key, **prepared.properties.to_json()})
