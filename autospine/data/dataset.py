"""A folder of images and masks becomes a `Dataset`, and its cases are read.

Which files make which case is the matter of `layouts`. A case keeps the paths it should have: those that are missing
are reported, all at once, when the cases are checked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.description import IGNORE
from autospine.data.formats.integrity import check_finite
from autospine.data.geometry import Geometry, Volume, canonical_orientation, orient, to_canonical
from autospine.data.layouts import find_layout
from autospine.data.layouts.shared.naming import closed_below, closed_note, raise_fault, subjects_of
from autospine.data.masks.files import labels_of_masks, read_mask, values_by_name
from autospine.data.masks.placing import onto_axes, place
from autospine.data.masks.values import counted_values
from autospine.data.structure import IGNORED, Case, Dataset, Label, LoadedCase, Reading, dataset_name
from autospine.data.volume import is_series, read_geometry, read_volume
from autospine.data.wording import listed, plural
from autospine.errors import DataError

_GIVE_CHANNELS = "give every channel as <case>_0000, <case>_0001, ... or correct the channel names"


def open_dataset(root: Path, reading: Reading = Reading(), *, labelled: bool = True) -> Dataset:
    """The dataset at `root`: a folder in whichever layout it has, or a table of files.

    Headers are read where files have to be told apart; voxels only where nothing names the labels. With `labelled` off
    no mask is opened, and where nothing names the labels there are none.

    Raises:
        DataError: no layout fits, or several; or what is there is not what its layout asks for.
    """
    root = Path(root)
    try:
        layout = find_layout(root, reading.layout)
        contents = layout.read(root, reading)
    except OSError as fault:
        where = str(fault.filename or root)
        raise DataError(where, f"cannot be read ({fault.strerror or fault})", "a folder that you may read") from fault
    wrong = sorted(name for name in (case.name for case in contents.cases) if not _is_name(name))
    if wrong:
        found = f"cases called {', '.join(map(repr, wrong[:6]))}"
        raise DataError(str(root), found, "names that files can bear", "rename them")
    held, channels, notes = contents.cases, contents.channels, contents.notes
    if closed := closed_below(root):
        notes += (closed_note(closed),)
    if reading.allow_missing:
        held = tuple(_without_absent(case) for case in held)
    if reading.channels is not None:
        wanted = chosen_channels(reading.channels, channels, root)
        kept = [with_channels(case, wanted, len(channels)) for case in held]
        without = [case.name for case, one in zip(held, kept, strict=True) if one is None]
        held, channels = tuple(case for case in kept if case is not None), tuple(channels[index] for index in wanted)
        if not held:
            raise DataError(str(root), f"no case has {' or '.join(channels)}", "a case to read", "name other channels")
        if without:
            notes += (f"cases without {' or '.join(channels)}, left out: {listed(without)}",)
    subjects = subjects_of([case.name for case in held], reading.subjects)
    # what the layout knows of them stands, unless the user says otherwise
    cases = tuple(
        case if case.subject and reading.subjects is None else replace(case, subject=subjects[case.name])
        for case in held
    )
    masks = [case.label for case in cases if case.label is not None and labelled]
    named = contents.labels or labels_of_masks(masks, root)
    return Dataset(
        name=dataset_name(root),
        root=root,
        channels=channels,
        labels=tuple(Label(*label) for label in named.classes),
        cases=cases,
        sides=named.sides,
        ignore=named.ignore,
        regions=named.regions,
        layout=layout.name,
        notes=notes,
    )


def chosen_channels(wanted: Sequence[str], channels: Sequence[str], root: Path) -> tuple[int, ...]:
    """Places of the `wanted` ones of `channels`, in the data set's own order."""
    unknown = [name for name in wanted if name not in channels]
    if unknown or not wanted:
        found = f"--channels names {', '.join(unknown) or 'none'}"
        raise DataError(str(root), found, f"some of {', '.join(channels)}", "name channels of these data")
    return tuple(index for index, channel in enumerate(channels) if channel in wanted)


def with_channels(case: Case, wanted: tuple[int, ...], count: int) -> Case | None:
    """The case with some of its `count` channels; None where it has none of them."""
    if len(case.images) == 1 and count > 1:  # one file that holds them all
        return replace(case, taken=wanted, of=count)
    images = tuple(case.images[index] for index in wanted)
    return replace(case, images=images) if any(images) else None


def _without_absent(case: Case) -> Case:
    """The case without the files of channels that are not there; as it stands where none is."""
    # a link to nothing is there, and is told
    images = tuple(path if path is not None and os.path.lexists(path) else None for path in case.images)
    return replace(case, images=images) if len(images) > 1 and any(images) else case


def _is_name(name: str) -> bool:
    """Whether files can be called so, in the folder that is meant for them."""
    return bool(name) and not name.startswith(".") and not {"/", "\\", "\0"} & set(name)


def load_case(dataset: Dataset, case: Case) -> LoadedCase:
    """The case in canonical orientation; raises the first fault of `read_case` as it stands."""
    loaded = read_case(dataset, case, raise_fault)
    assert loaded is not None  # None only after a fault, and a fault has been raised
    return loaded


def load_label(dataset: Dataset, case: Case, path: Path) -> npt.NDArray[np.uint8]:
    """Class indices (Z, Y, X) of a mask or segmentation of the case, canonical; of the image its header alone is read.

    Args:
        dataset: whose labels it has.
        case: the case, on whose grid it lies.
        path: the file, or the folder.

    Raises:
        DataError: it cannot be read, lies on another grid, or holds values that are not declared.
    """
    grid = read_geometry(case.files[0])
    indices = _class_indices(_read_mask(grid, case.files[0], path, dataset), dataset, path)
    return orient(indices, canonical_orientation(grid))


def read_case(dataset: Dataset, case: Case, report: Callable[[DataError], None]) -> LoadedCase | None:
    """The case in canonical orientation, each file read once; every fault goes to `report`, after any it is None.

    Faults: a file that is missing or cannot be read, channels or mask on another grid, a wrong number of channels,
    NaN or infinite voxels, label values that are not whole or not declared.
    """
    faults: list[DataError] = []

    def tell(fault: DataError) -> None:
        faults.append(fault)
        report(fault)

    image = read_images(case.images, tell)
    if image is not None and case.taken is not None:
        if len(image.array) == case.of:
            image = replace(image, array=image.array[list(case.taken)])
        else:  # which of them were meant is not known
            expected = f"all {case.of} of the data set"
            tell(DataError(case.shown, plural(len(image.array), "channel"), expected, _GIVE_CHANNELS))
    grid = None if image is None else image.geometry
    held = 0 if image is None else len(image.array)
    if not faults and held != len(dataset.channels):
        expected = f"{len(dataset.channels)} ({', '.join(dataset.channels)})"
        tell(DataError(case.shown, plural(held, "channel"), expected, _GIVE_CHANNELS))
    label: npt.NDArray[np.uint8] | None = None
    if case.label is not None:
        try:
            label = _class_indices(_read_mask(grid, case.files[0], case.label, dataset), dataset, case.label)
        except DataError as fault:
            tell(fault)
    if faults or image is None or grid is None:
        return None
    return LoadedCase(case, to_canonical(image), None if label is None else orient(label, canonical_orientation(grid)))


def read_images(images: Sequence[Path | None], report: Callable[[DataError], None]) -> Volume | None:
    """The channel files of a case as one float32 volume (C, Z, Y, X) with the axes of the first file.

    A channel that is None is 0 everywhere; one of them at least is a file.
    Every fault (unreadable, on another grid, NaN or infinite) goes to `report`; what could be read still comes back,
    None where that is nothing.
    """
    grid: Geometry | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    reference = next(path for path in images if path is not None)
    others = any(path is not None and _is_there(path) for path in images)
    channels: list[npt.NDArray[np.float32] | None] = []
    for path in images:
        if path is None:
            channels.append(None)
            continue
        try:
            if others and not _is_there(path):
                remedy = "add it; where cases may lack it, use --allow-missing, or leave its cell of a manifest empty"
                raise DataError(str(path), "no such file", "every channel of the case", remedy)
            volume = read_volume(path)
            if grid is None:
                grid, metadata = volume.geometry, volume.metadata
            else:
                volume = onto_axes(volume, grid, path, reference)
            channels.append(_as_float32(volume.array, path))
        except DataError as fault:
            report(fault)
    if grid is None or not any(channel is not None for channel in channels):
        return None
    blank = np.zeros((1, *grid.shape), np.float32)
    return Volume(np.concatenate([blank if one is None else one for one in channels]), grid, metadata)


def _is_there(path: Path) -> bool:
    """Whether there is anything to read at `path`; a link to nothing is there, and is told."""
    return os.path.lexists(path) or is_series(path)


def _read_mask(grid: Geometry | None, reference: Path, path: Path, dataset: Dataset) -> npt.NDArray[np.integer[Any]]:
    """Values of a mask (Z, Y, X) with the axes of `grid`, the grid of file `reference`.

    Structures that the mask names become the values of the classes with their names.
    """
    classes = {label.name: label.value for label in dataset.labels}
    classes |= {} if dataset.ignore is None else {IGNORE: dataset.ignore}
    mask = read_mask(path, grid, classes)
    values = mask.values
    if grid is not None and mask.cropped:
        values = place(values, mask.geometry, grid, path, reference.name)
    elif grid is not None:
        values = onto_axes(Volume(values[None], mask.geometry), grid, path, reference).array[0]
    return values_by_name(replace(mask, values=values), classes, path)


def _as_float32(array: npt.NDArray[Any], path: Path) -> npt.NDArray[np.float32]:
    """The voxels as float32; `DataError` where some are too large for it."""
    with np.errstate(over="ignore"):
        image: npt.NDArray[np.float32] = array.astype(np.float32)
    check_finite(path, image)
    return image


def _class_indices(values: npt.NDArray[np.integer[Any]], dataset: Dataset, path: Path) -> npt.NDArray[np.uint8]:
    """Class indices of a mask's values (Z, Y, X); `DataError` where it holds what the dataset does not declare."""
    counts = counted_values(values)
    declared = {0, dataset.ignore, *(label.value for label in dataset.labels)}
    undeclared = {value: counts[value] for value in counts.keys() - declared}
    if undeclared:
        first = ", ".join(f"{value} ({undeclared[value]} voxels)" for value in sorted(undeclared)[:8])
        found = f"undeclared label values {first}{', ...' if len(undeclared) > 8 else ''}"
        expected = "0 and " + ", ".join(f"{label.value} ({label.name})" for label in dataset.labels)
        raise DataError(str(path), found, expected, "declare them as labels of the dataset or correct the mask")
    indices = np.zeros(values.shape, np.uint8)
    for index, label in enumerate(dataset.labels, start=1):
        if label.value in counts:
            indices[values == label.value] = index
    if dataset.ignore in counts:
        indices[values == dataset.ignore] = IGNORED
    return indices
