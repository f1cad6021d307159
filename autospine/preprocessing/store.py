"""Prepared cases on disk (`cases`, `images`): built once, resumed where a run stopped, opened without reading them.

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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from autospine.data.files import json_digest, read_json, unreadable, write_json
from autospine.data.jobs import Progress
from autospine.errors import OutputError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.plan import Plan
from autospine.preprocessing.jobs import Job, run_jobs
from autospine.preprocessing.memory import bounded_workers
from autospine.preprocessing.prepare import CaseProperties

FORMAT = 3
"""Grows when the files or the numbers in them change their meaning; part of the key."""

_SUFFIXES = (".image.npy", ".label.npy", ".reference.npy", ".locations.npz", ".sizes.npy", ".properties.json")
OFFSETS = "offsets_"
"""Before the class in the names of the arrays that say where its components begin."""
_REMEDY = "delete the folder and run the training again: it is built anew"


class CaseFiles(NamedTuple):
    """The files of one case."""

    image: Path
    label: Path
    reference: Path
    locations: Path
    sizes: Path
    properties: Path

    @property
    def alone(self) -> tuple[Path, ...]:
        """What there is of an image alone, in the order in which it is written."""
        return self.image, self.properties

    def labelled(self, components: bool) -> tuple[Path, ...]:
        """What there is of a labelled case, in that order; with `components` the sizes of these as well."""
        return self if components else tuple(path for path in self if path is not self.sizes)


class PreparationJob(Job, Protocol):
    """What a process needs to know to prepare one case and write it."""

    @property
    def key(self) -> str:
        """The store's key."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What is to be written, the properties last."""

    def build(self) -> None:
        """Write all of it; `store` calls this where it is not there."""


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
        files = case_files(self.root, name)
        try:
            written = read_json(files.properties, PlanError)
            if written["key"] != self.key:
                raise ValueError("prepared for another plan")
            if self.images_alone:
                return _without_label(_mapped(files.image), written)
            with np.load(files.locations, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            named = {value: arrays.pop(value) for value in list(arrays) if value.startswith(OFFSETS)}
            return StoredCase(
                name=name,
                image=_mapped(files.image),
                label=_mapped(files.label),
                reference=_mapped(files.reference),
                properties=CaseProperties.from_json(written),
                locations={int(value): voxels for value, voxels in arrays.items()},
                sizes=_mapped(files.sizes) if self.components else None,
                offsets={int(value.removeprefix(OFFSETS)): places for value, places in named.items()},
            )
        except PlanError as fault:  # of the properties
            raise PlanError(fault.where, fault.found, fault.expected, fault.remedy or _REMEDY) from fault
        except (OSError, ValueError, EOFError, KeyError, TypeError) as fault:
            if isinstance(fault, OSError) and fault.errno in (errno.EMFILE, errno.ENFILE):
                remedy = "allow more open files (`ulimit -n 4096` in this shell), or use fewer --workers"
                raise OutputError(str(self.root), "too many files are open in this process", remedy=remedy) from fault
            if isinstance(fault, PermissionError):
                raise unreadable(Path(fault.filename or files.image), fault, PlanError) from fault
            found = f"the prepared case {name!r} is missing or damaged ({fault})"
            raise PlanError(str(self.root), found, "whole files", _REMEDY) from fault


def _mapped(path: Path) -> npt.NDArray[Any]:
    """The array in `path`, read from disk where it is touched."""
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


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
    needed = (case_files(root, name).labelled(store.components) for name in store.names)
    return store if all(is_whole(files, key) for files in needed) else None


def fill_store(
    root: Path,
    index: dict[str, Any],
    jobs: Sequence[PreparationJob],
    configuration: Configuration,
    workers: int | None,
    progress: Progress | None,
) -> Store:
    """The store in `root` with what each of `jobs` prepares for `configuration`; cases that are there are kept.

    `index` is what `store.json` is to hold; a store with another key is emptied first. At most `workers` processes
    share the work, and no more than there are cores and free memory for; 0 or 1 stay in this process. A case that fails
    raises, with its name, once the cases under way are done; a later call goes on from there.

    Raises:
        PlanError: another training has emptied the store meanwhile.
        OutputError: it cannot be written.
    """
    begin_store(root, index)
    left = [job for job in jobs if not is_whole(job.files, job.key)]
    bound = bounded_workers([job.case.files for job in left], configuration)
    run_jobs(_build, left, bound if workers is None else min(workers, bound), len(jobs) - len(left), progress)
    store = Store(root)
    if store.key != index["key"]:
        found = "prepared for another plan by another training at the same time"
        raise PlanError(str(root), found, "one plan at a time", "wait for the other to end, then run this again")
    return store


def _build(job: PreparationJob) -> None:
    """Prepare and write one case, unless another process has done so meanwhile."""
    if not is_whole(job.files, job.key):
        job.build()


def begin_store(root: Path, index: dict[str, Any]) -> None:
    """Write the `index` of a store; one with another key that stands there is emptied first."""
    standing = _read_index(root, damaged_is_missing=True)
    if standing is None or standing["key"] != index["key"]:
        _empty(root, index["key"])
    write_json(root / "store.json", index)


def case_files(root: Path, name: str) -> CaseFiles:
    """Where the files of a case lie, or would."""
    return CaseFiles(*(root / f"{name}{suffix}" for suffix in _SUFFIXES))


def is_whole(files: Sequence[Path], key: str) -> bool:
    """Whether all `files` of a case are there, the last of them its properties, for this key."""
    return all(path.is_file() for path in files) and has_key(files[-1], key)


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
            suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), None)
            if suffix is not None and path.name.removesuffix(suffix) not in whole:
                path.unlink(missing_ok=True)
    except OSError as fault:
        raise OutputError(str(root), f"cannot be emptied ({fault.strerror or fault})") from fault
