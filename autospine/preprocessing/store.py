"""Prepared cases on disk: built once, resumed where a run stopped, opened without reading them.

    runs/<dataset>/prepared/<configuration>/     named after the first of those that prepare alike
        store.json                 the key, and each case with whether it is labelled
        <case>.image.npy           (C, a0, a1, a2) float32, planned axes; memory-mapped
        <case>.label.npy           (a0, a1, a2) uint8 class indices; memory-mapped
        <case>.reference.npy       (Z, Y, X) uint8, the label on its canonical native grid, for scoring
        <case>.locations.npz       voxels of each class, for sampling; with components, where each of these begins
        <case>.sizes.npy           (a0, a1, a2) float32, with components alone: size of the voxel's; memory-mapped
        <case>.properties.json     the key and the way back; written last, so a case that has it is whole

The key hashes everything preparation depends on: another key, another store. Opening needs numpy alone. A store of
images alone (`preprocessing.images`) has of each case its image and properties, and no list: what is whole is there.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autospine.data.files import json_digest, read_json, unreadable, write_json
from autospine.data.jobs import Progress
from autospine.errors import DataError, OutputError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.plan import Plan
from autospine.preprocessing.arrays import write_array, write_arrays
from autospine.preprocessing.components import measure_components
from autospine.preprocessing.jobs import run_jobs
from autospine.preprocessing.memory import bounded_workers
from autospine.preprocessing.prepare import CaseProperties, class_locations, prepare_case, without_unlabelled_slices

if TYPE_CHECKING:
    from autospine.data.structure import Case, Dataset
    from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint

FORMAT = 3
"""Grows when the files or the numbers in them change their meaning; part of the key."""

_SUFFIXES = (".image.npy", ".label.npy", ".reference.npy", ".locations.npz", ".properties.json")
_SIZES = ".sizes.npy"
_OFFSETS = "offsets_"
"""Before the class in the names of the arrays that say where its components begin."""
_SEED = 1234
_REMEDY = "delete the folder and run the training again: it is built anew"


@dataclass(frozen=True)
class StoredCase:
    """One prepared case; the arrays are read from disk where they are touched."""

    name: str
    image: npt.NDArray[np.float32]
    """(C, a0, a1, a2), planned axes."""
    label: npt.NDArray[np.uint8]
    """(a0, a1, a2) class indices; 0 throughout where the image alone was prepared, and takes no memory."""
    reference: npt.NDArray[np.uint8]
    """(Z, Y, X) class indices on the canonical native grid."""
    properties: CaseProperties
    locations: dict[int, npt.NDArray[np.int32]]
    """Class index to voxels (n, 3) of `label`; classes that the case has. With components, so many of each."""
    sizes: npt.NDArray[np.float32] | None = None
    """(a0, a1, a2) size of the voxel's connected component, 0 in the background; None in a store without components."""
    offsets: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)
    """Class index to (k + 1,) places in its `locations` between which its components lie; empty without components."""


class Store:
    """A folder of prepared cases."""

    def __init__(self, root: Path) -> None:
        """Open the store in `root`; one that is not there or unreadable raises `PlanError`."""
        self.root = Path(root)
        content = _read_index(self.root)
        if content is None:
            raise PlanError(str(self.root), "no prepared cases", "a folder that `autospine train` prepared", _REMEDY)
        self.key: str = content["key"]
        self.components: bool = bool(content.get("components"))
        """Whether the cases have their connected components measured."""
        self.images_alone: bool = content.get("images_alone") is True
        """Whether of its cases the images alone were prepared."""
        found = (name for name, labelled in content["cases"].items() if labelled)
        if self.images_alone:
            ending = _SUFFIXES[-1]
            found = (path.name.removesuffix(ending) for path in self.root.glob(f"[!.]*{ending}"))
        self.names: tuple[str, ...] = tuple(sorted(found))
        """Labelled cases, sorted; the others are not prepared. Of images alone, all that are there."""

    def open(self, name: str) -> StoredCase:
        """The case called `name`; one that is not there or damaged raises `PlanError`."""
        if name not in self.names:
            raise PlanError(str(self.root), f"no prepared case {name!r}", f"one of {', '.join(self.names)}", _REMEDY)
        image, label, reference, locations, properties = case_files(self.root, name)
        try:
            written = read_json(properties, PlanError)
            if written["key"] != self.key:
                raise ValueError("prepared for another plan")
            if self.images_alone:
                return _without_label(np.load(image, mmap_mode="r", allow_pickle=False), written)
            with np.load(locations, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            named = {value: arrays.pop(value) for value in list(arrays) if value.startswith(_OFFSETS)}
            sizes = None
            if self.components:
                sizes = np.load(_sizes_file(self.root, name), mmap_mode="r", allow_pickle=False)
            return StoredCase(
                name=name,
                image=np.load(image, mmap_mode="r", allow_pickle=False),
                label=np.load(label, mmap_mode="r", allow_pickle=False),
                reference=np.load(reference, mmap_mode="r", allow_pickle=False),
                properties=CaseProperties.from_json(written),
                locations={int(value): voxels for value, voxels in arrays.items()},
                sizes=sizes,
                offsets={int(value.removeprefix(_OFFSETS)): places for value, places in named.items()},
            )
        except PlanError as fault:  # of the properties
            raise PlanError(fault.where, fault.found, fault.expected, fault.remedy or _REMEDY) from fault
        except (OSError, ValueError, EOFError, KeyError, TypeError) as fault:
            if isinstance(fault, OSError) and fault.errno in (errno.EMFILE, errno.ENFILE):
                remedy = "allow more open files (`ulimit -n 4096` in this shell), or use fewer --workers"
                raise OutputError(str(self.root), "too many files are open in this process", remedy=remedy) from fault
            if isinstance(fault, PermissionError):
                raise unreadable(Path(fault.filename or image), fault, PlanError) from fault
            found = f"the prepared case {name!r} is missing or damaged ({fault})"
            raise PlanError(str(self.root), found, "whole files", _REMEDY) from fault


def _without_label(image: npt.NDArray[np.float32], written: dict[str, Any]) -> StoredCase:
    """A case of which the `image` alone was prepared."""
    properties = CaseProperties.from_json(written)
    nothing = np.zeros((), np.uint8)
    label, reference = (np.broadcast_to(nothing, shape) for shape in (image.shape[1:], properties.canonical_shape))
    return StoredCase(properties.name, image, label, reference, properties, {})


def stored_key(plan: Plan, configuration: Configuration) -> str:
    """SHA-256 of everything the prepared cases depend on: data, classes, intensities, axes, spacing, interpolation.

    What only training reads (patch, network, loss, schedule) has no part in it.
    """
    content = {
        "format": FORMAT,
        "fingerprint": plan.fingerprint_hash,
        "channels": plan.data.channels,
        "labels": plan.data.labels,
        "intensities": [asdict(intensity) for intensity in plan.data.intensities],
        "axis_order": configuration.axis_order,
        "spacing_mm": configuration.spacing_mm,
        "normalisation": configuration.normalisation,
        "use_mask": configuration.use_mask,
        "ignore_unlabelled_slices": configuration.ignore_unlabelled_slices,
        "resampling": asdict(configuration.resampling),
        **({"components": True} if configuration.by_component else {}),
    }
    return json_digest(content)


def store_name(plan: Plan, configuration: Configuration) -> str:
    """Name of the folder that holds the prepared cases of `configuration`.

    Configurations with the same key (2d and 2.5d, 3d_fullres and its cascade) share the folder of the first of them in
    the plan, so that nothing is prepared or kept twice.
    """
    key = stored_key(plan, configuration)
    alike = (other.name for other in plan.configurations if stored_key(plan, other) == key)
    return next(alike, configuration.name)


def find_store(root: Path, key: str) -> Store | None:
    """The store in `root` where it is whole and has this key; None where there is something to prepare."""
    index = _read_index(root, damaged_is_missing=True)
    if index is None or index["key"] != key:
        return None
    store = Store(root)
    return store if all(_is_whole(root, name, key, store.components) for name in store.names) else None


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

    A store with another key is emptied first. With the `fingerprint` of the plan, a case that is no longer what that
    was made from raises `DataError`. At most `workers` processes share the work, and no more than there are cores and
    free memory for; 0 or 1 stay in this process. A case that fails raises, with its name, once the cases under way
    are done; a later call goes on from there.
    """
    root = Path(root)
    key = stored_key(plan, configuration)
    labelled = {case.name: case.label is not None for case in dataset.cases}
    components = configuration.by_component
    begin_store(root, {"key": key, "cases": labelled, **({"components": True} if components else {})})
    cases = [case for case in dataset.cases if labelled[case.name]]
    missing = [case for case in cases if not _is_whole(root, case.name, key, components)]
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
        for case in missing
    ]
    bound = bounded_workers([case.files for case in missing], configuration)
    run_jobs(_build, jobs, bound if workers is None else min(workers, bound), len(cases) - len(missing), progress)
    return open_prepared(root, key)


def begin_store(root: Path, index: dict[str, Any]) -> None:
    """Write the `index` of a store; one with another key that stands there is emptied first."""
    standing = _read_index(root, damaged_is_missing=True)
    if standing is None or standing["key"] != index["key"]:
        _empty(root, index["key"])
    write_json(root / "store.json", index)


def open_prepared(root: Path, key: str) -> Store:
    """The store that was just prepared; `PlanError` where another training has emptied it meanwhile."""
    store = Store(root)
    if store.key != key:
        found = "prepared for another plan by another training at the same time"
        raise PlanError(str(root), found, "one plan at a time", "wait for the other to end, then run this again")
    return store


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


def _build(job: _Job) -> None:
    """Prepare and write one case, unless another process has done so meanwhile."""
    from autospine.data.dataset import load_case  # reads images; a process that only opens the store does not

    name = job.case.name
    if _is_whole(job.root, name, job.key, job.configuration.by_component):
        return
    loaded = load_case(job.dataset, job.case)
    spacing_mm = loaded.image.geometry.spacing_mm
    label = loaded.label
    if label is not None and job.configuration.ignore_unlabelled_slices:
        label = without_unlabelled_slices(label, job.configuration.axis_order[0])
    intensities, missing = job.intensities, job.case.missing
    prepared = prepare_case(loaded.image.array, label, spacing_mm, job.configuration, intensities, name, missing)
    if prepared.label is None or label is None or loaded.label is None:
        raise ValueError(f"case {name!r} is to be prepared for training and has no label")
    if job.fingerprint is not None and not job.fingerprint.is_of(loaded.image.array, loaded.label, missing):
        differs = "the image or its mask is not the one that the plan was made from"
        remedy = "run `autospine plan DATASET --overwrite` for the data as they are now"
        raise DataError(str(job.case.files[0].parent), differs, "the same files as when it was planned", remedy)
    image, prepared_label, reference, locations, properties = case_files(job.root, name)
    if not has_key(properties, job.key):
        properties.unlink(missing_ok=True)  # another plan's, which would vouch for half of this one
    written: list[tuple[Path, npt.NDArray[Any]]] = [
        (image, prepared.image),
        (prepared_label, prepared.label),
        (reference, label),
    ]
    classes = range(1, job.classes + 1)
    places: dict[str, npt.NDArray[Any]] = {}
    if job.configuration.by_component:
        flat = job.configuration.network.dimension == 2
        found = measure_components(prepared.label, classes, slices_apart=flat, seed=_SEED)
        written.append((_sizes_file(job.root, name), found.sizes))
        voxels, places = found.locations, {f"{_OFFSETS}{value}": ends for value, ends in found.offsets.items()}
    else:
        voxels = class_locations(prepared.label, classes, _SEED)
    for path, array in written:
        write_array(path, array)
    places |= {str(value): kept for value, kept in voxels.items()}
    write_arrays(locations, places)
    write_json(properties, {"key": job.key, **prepared.properties.to_json()})


def case_files(root: Path, name: str) -> list[Path]:
    """Image, label, reference, locations, properties of a case."""
    return [root / f"{name}{suffix}" for suffix in _SUFFIXES]


def _sizes_file(root: Path, name: str) -> Path:
    """Where the sizes of a case's components are, in a store that has them."""
    return root / f"{name}{_SIZES}"


def _is_whole(root: Path, name: str, key: str, components: bool) -> bool:
    """Whether all files of a case are there, for this key; with `components` those of theirs too."""
    files = case_files(root, name)
    further = [_sizes_file(root, name)] if components else []
    if not all(path.is_file() for path in (*files, *further)):
        return False
    return has_key(files[-1], key)


def has_key(properties: Path, key: str) -> bool:
    """Whether the properties of a case are there, for this key."""
    try:
        content = read_json(properties, PlanError)
    except PlanError:
        return False
    return isinstance(content, dict) and content.get("key") == key


def _read_index(root: Path, *, damaged_is_missing: bool = False) -> dict[str, Any] | None:
    """`store.json`, or None where there is none; an unreadable one raises `PlanError` unless it may count as none."""
    path = root / "store.json"
    if not path.is_file():
        return None
    try:
        content = read_json(path, PlanError)
        if not (isinstance(content, dict) and isinstance(content.get("key"), str)):
            raise PlanError(str(path), "no key", "the index of a store of prepared cases", _REMEDY)
        if not isinstance(content.get("cases"), dict):
            raise PlanError(str(path), "no list of cases", "the index of a store of prepared cases", _REMEDY)
    except PlanError:
        if damaged_is_missing:
            return None
        raise
    return content


def _empty(root: Path, key: str) -> None:
    """Remove the store's own files from `root`, but for cases with this `key`, which another process may be preparing.

    Anything else in the folder is left alone.
    """
    try:
        with suppress(FileNotFoundError):
            (root / "store.json").unlink()
        ending = _SUFFIXES[-1]
        paths = list(root.iterdir()) if root.is_dir() else []
        whole = {path.name.removesuffix(ending) for path in paths if path.name.endswith(ending) and has_key(path, key)}
        for path in paths:
            suffix = next((suffix for suffix in (*_SUFFIXES, _SIZES) if path.name.endswith(suffix)), None)
            if suffix is not None and path.name.removesuffix(suffix) not in whole:
                path.unlink(missing_ok=True)
    except OSError as fault:
        raise OutputError(str(root), f"cannot be emptied ({fault.strerror or fault})") from fault
