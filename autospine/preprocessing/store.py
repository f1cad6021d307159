"""Prepared cases on disk: built once, resumed where a run stopped, opened without reading them.

    runs/<dataset>/prepared/<configuration>/     named after the first of those that prepare alike
        store.json                 the key, and each case with whether it is labelled
        <case>.image.npy           (C, a0, a1, a2) float32, planned axes; memory-mapped
        <case>.label.npy           (a0, a1, a2) uint8 class indices; memory-mapped
        <case>.reference.npy       (Z, Y, X) uint8, the label on its canonical native grid, for scoring
        <case>.locations.npz       voxels of each class, for sampling; with components, where each of these begins
        <case>.sizes.npy           (a0, a1, a2) float32, with components alone: size of the voxel's; memory-mapped
        <case>.properties.json     the key and the way back; written last, so a case that has it is whole

The key hashes everything preparation depends on (`keys`): another key, another store. Opening needs numpy alone. A
store of images alone (`images`) has of each case its image and properties, and no list: what is whole is there.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import read_json, unreadable, write_json
from autospine.errors import OutputError, PlanError
from autospine.preprocessing.arrays import write_array, write_arrays
from autospine.preprocessing.prepare import CaseProperties

Contents = Literal["images", "labels", "components"]
"""What a store has of its cases: images alone, labels beside them, or the labels' components as well."""
IMAGE, LABEL, REFERENCE, SIZES = (f".{part}.npy" for part in ("image", "label", "reference", "sizes"))
LOCATIONS, PROPERTIES = ".locations.npz", ".properties.json"
_SUFFIXES: Mapping[Contents, tuple[str, ...]] = {
    "images": (IMAGE, PROPERTIES),
    "labels": (IMAGE, LABEL, REFERENCE, LOCATIONS, PROPERTIES),
    "components": (IMAGE, LABEL, REFERENCE, SIZES, LOCATIONS, PROPERTIES),
}
_OFFSETS = "offsets_"
"""Before the class in the names of the arrays that say where its components begin."""
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

    @staticmethod
    def of_image(image: npt.NDArray[np.float32], properties: CaseProperties) -> StoredCase:
        """A case of which the `image` alone is prepared."""
        nothing = np.zeros((), np.uint8)
        label, reference = (np.broadcast_to(nothing, shape) for shape in (image.shape[1:], properties.canonical_shape))
        return StoredCase(properties.name, image, label, reference, properties, {})


@dataclass(frozen=True)
class StoreIndex:
    """What `store.json` says."""

    key: str
    """Hash of what the cases depend on."""
    contents: Contents
    cases: Mapping[str, bool] = field(default_factory=dict)
    """Case -> whether it is labelled; the others are not prepared. Empty for images alone."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        said = {"images": {"images_alone": True}, "labels": {}, "components": {"components": True}}[self.contents]
        return {"key": self.key, "cases": dict(self.cases), **said}

    @staticmethod
    def read(root: Path) -> StoreIndex | None:
        """That of the store in `root`, or None where there is none; an unreadable one raises `PlanError`."""
        path = root / "store.json"
        if not path.is_file():
            return None
        content = read_json(path, PlanError)
        for field_name, kind, lacking in (("key", str, "no key"), ("cases", dict, "no list of cases")):
            if not (isinstance(content, dict) and isinstance(content.get(field_name), kind)):
                raise PlanError(str(path), lacking, "the index of a store of prepared cases", _REMEDY)
        contents: Contents = "components" if content.get("components") else "labels"
        if content.get("images_alone") is True:
            contents = "images"
        return StoreIndex(content["key"], contents, content["cases"])

    @staticmethod
    def find(root: Path) -> StoreIndex | None:
        """That of the store in `root`, or None where there is none that can be read."""
        try:
            return StoreIndex.read(root)
        except PlanError:
            return None


class Store:
    """A folder of prepared cases."""

    def __init__(self, root: Path) -> None:
        """Open the store in `root`; one that is not there or unreadable raises `PlanError`."""
        self.root = root
        index = StoreIndex.read(root)
        if index is None:
            raise PlanError(str(root), "no prepared cases", "a folder that `autospine train` prepared", _REMEDY)
        self.key, self.contents = index.key, index.contents
        found = (name for name, labelled in index.cases.items() if labelled)
        if self.contents == "images":
            found = (path.name.removesuffix(PROPERTIES) for path in self.root.glob(f"[!.]*{PROPERTIES}"))
        self.names = tuple(sorted(found))
        """Labelled cases, sorted; the others are not prepared. Of images alone, all that are there."""

    def open(self, name: str) -> StoredCase:
        """The case called `name`; one that is not there or damaged raises `PlanError`."""
        if name not in self.names:
            raise PlanError(str(self.root), f"no prepared case {name!r}", f"one of {', '.join(self.names)}", _REMEDY)
        try:
            return self._read(name)
        except PlanError as fault:  # of the properties
            raise PlanError(fault.where, fault.found, fault.expected, fault.remedy or _REMEDY) from fault
        except (OSError, ValueError, EOFError, KeyError, TypeError) as fault:
            if isinstance(fault, OSError) and fault.errno in (errno.EMFILE, errno.ENFILE):
                remedy = "allow more open files (`ulimit -n 4096` in this shell), or use fewer --workers"
                raise OutputError(str(self.root), "too many files are open in this process", remedy=remedy) from fault
            if isinstance(fault, PermissionError):
                where = Path(fault.filename or case_file(self.root, name, IMAGE))
                raise unreadable(where, fault, PlanError) from fault
            found = f"the prepared case {name!r} is missing or damaged ({fault})"
            raise PlanError(str(self.root), found, "whole files", _REMEDY) from fault

    def _read(self, name: str) -> StoredCase:
        """The case called `name`; raises whatever reading its files does."""
        written = read_json(case_file(self.root, name, PROPERTIES), PlanError)
        if written["key"] != self.key:
            raise ValueError("prepared for another plan")

        def mapped(suffix: str) -> npt.NDArray[Any]:
            array: npt.NDArray[Any] = np.load(case_file(self.root, name, suffix), mmap_mode="r", allow_pickle=False)
            return array

        if self.contents == "images":
            return StoredCase.of_image(mapped(IMAGE), CaseProperties.from_json(written))
        with np.load(case_file(self.root, name, LOCATIONS), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        offsets = {key: arrays.pop(key) for key in list(arrays) if key.startswith(_OFFSETS)}
        return StoredCase(
            name=name,
            image=mapped(IMAGE),
            label=mapped(LABEL),
            reference=mapped(REFERENCE),
            properties=CaseProperties.from_json(written),
            locations={int(key): voxels for key, voxels in arrays.items()},
            sizes=mapped(SIZES) if self.contents == "components" else None,
            offsets={int(key.removeprefix(_OFFSETS)): places for key, places in offsets.items()},
        )


def write_case(root: Path, index: StoreIndex, case: StoredCase) -> None:
    """Write of a case what the store in `root` with this `index` has of its cases, the properties last."""
    properties = case_file(root, case.name, PROPERTIES)
    if not _has_key(properties, index.key):
        properties.unlink(missing_ok=True)  # another plan's, which would vouch for half of this one
    arrays: dict[str, npt.NDArray[Any] | None]
    arrays = {IMAGE: case.image, LABEL: case.label, REFERENCE: case.reference, SIZES: case.sizes}
    for suffix, array in arrays.items():
        if suffix in _SUFFIXES[index.contents] and array is not None:
            write_array(case_file(root, case.name, suffix), array)
    if index.contents != "images":
        offsets = {f"{_OFFSETS}{value}": places for value, places in case.offsets.items()}
        voxels = {str(value): kept for value, kept in case.locations.items()}
        write_arrays(case_file(root, case.name, LOCATIONS), offsets | voxels)
    write_json(properties, {"key": index.key, **asdict(case.properties)})


def find_store(root: Path, key: str) -> Store | None:
    """The store in `root` where it is whole and has this key; None where there is something to prepare."""
    index = StoreIndex.find(root)
    if index is None or index.key != key:
        return None
    store = Store(root)
    return store if all(is_whole(root, index, name) for name in store.names) else None


def begin_store(root: Path, index: StoreIndex) -> None:
    """Write the `index` of a store; one with another key that stands there is emptied first."""
    standing = StoreIndex.find(root)
    if standing is None or standing.key != index.key:
        _empty(root, index.key)
    write_json(root / "store.json", index.to_json())


def open_prepared(root: Path, key: str) -> Store:
    """The store that was just prepared; `PlanError` where another training has emptied it meanwhile."""
    store = Store(root)
    if store.key != key:
        found = "prepared for another plan by another training at the same time"
        raise PlanError(str(root), found, "one plan at a time", "wait for the other to end, then run this again")
    return store


def case_file(root: Path, name: str, suffix: str) -> Path:
    """Where the store in `root` has the file of this `suffix` of a case."""
    return root / f"{name}{suffix}"


def is_whole(root: Path, index: StoreIndex, name: str) -> bool:
    """Whether all files of a case are in `root` that a store with this `index` has, for its key."""
    files = [case_file(root, name, suffix) for suffix in _SUFFIXES[index.contents]]
    return all(path.is_file() for path in files) and _has_key(files[-1], index.key)


def _has_key(properties: Path, key: str) -> bool:
    """Whether the properties of a case are there, for this key."""
    try:
        content = read_json(properties, PlanError)
    except PlanError:
        return False
    return isinstance(content, dict) and content.get("key") == key


def _empty(root: Path, key: str) -> None:
    """Remove the store's own files from `root`, but for cases with this `key`, which another process may be preparing.

    Anything else in the folder is left alone.
    """
    try:
        with suppress(FileNotFoundError):
            (root / "store.json").unlink()
        paths = list(root.iterdir()) if root.is_dir() else []
        own = [(path, suffix) for path in paths for suffix in _SUFFIXES["components"] if path.name.endswith(suffix)]
        whole = {
            path.name.removesuffix(PROPERTIES) for path, suffix in own if suffix == PROPERTIES and _has_key(path, key)
        }
        for path, suffix in own:
            if path.name.removesuffix(suffix) not in whole:
                path.unlink(missing_ok=True)
    except OSError as fault:
        raise OutputError(str(root), f"cannot be emptied ({fault.strerror or fault})") from fault
