"""What a mask file says: its labels, or the names of its structures and where these lie.

A file of labels holds values that mean nothing by themselves. Three kinds name their structures: DICOM-SEG objects,
segmentations of 3D Slicer, and folders of one file per structure. In those the names decide, whatever the numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.description import IGNORE, Declared, counted
from autospine.data.formats.dicom_seg import read_segmentation, segment_names
from autospine.data.formats.palette import palette_indices
from autospine.data.formats.slicer import numbered, read_segments
from autospine.data.geometry import Geometry
from autospine.data.masks.structures import is_structures, read_structures, structure_files
from autospine.data.masks.values import counted_values, whole_layers, whole_values
from autospine.data.volume import is_series, read_volume, stem
from autospine.errors import DataError

_SLICER = ".seg"
BACKGROUND = "background"
"""Of a structure that is none."""
_LISTED = 12


@dataclass(frozen=True)
class Mask:
    """A mask as it lies in its file."""

    values: npt.NDArray[np.integer[Any]]
    """(Z, Y, X), labels or the numbers of `segments`; 0 where there is none."""
    geometry: Geometry
    """Its grid."""
    segments: tuple[tuple[str, int], ...] = ()
    """(name, number) of the structures, where the file names them."""
    cropped: bool = False
    """Whether it may cover a part of its image."""
    moved: float = 0.0
    """The most that a value was rounded by to be a whole number."""


def read_mask(path: Path, grid: Geometry | None = None, wanted: Collection[str] | None = None) -> Mask:
    """The mask in a file or folder.

    Args:
        path: an image file, a DICOM-SEG object, or a folder of one file per structure.
        grid: that of its image, which a DICOM-SEG object is laid on.
        wanted: the structures to read of a folder; None: all.

    Raises:
        DataError: it cannot be read, or is no mask: several values per voxel, values that are no whole numbers from 0,
            structures that overlap.
    """
    if is_structures(path):
        return Mask(*read_structures(path, wanted))
    if is_series(path):
        if grid is None:
            raise DataError(str(path), "no image to lay this segmentation on", "an image that can be read")
        return Mask(read_segmentation(path, grid), grid, segment_names(path))
    segments = read_segments(path)
    volume = read_volume(path)
    if segments:
        numbers = numbered(whole_layers(volume.array, path), segments, path)
        named = tuple((segment.name, number) for number, segment in enumerate(segments, 1))
        return Mask(numbers, volume.geometry, named, cropped=True)
    indices = palette_indices(path, volume.geometry.shape)
    values, moved = whole_values(volume.array if indices is None else indices, path)
    return Mask(values, volume.geometry, moved=moved)


def mask_stem(path: Path) -> str:
    """The name of a mask file without suffix: `case.nii.gz` and `case.seg.nrrd` are both of `case`."""
    name = stem(path)
    return name.removesuffix(_SLICER) if path.name.lower().endswith(".seg.nrrd") else name


def values_by_name(mask: Mask, values: dict[str, int], path: Path) -> npt.NDArray[np.integer[Any]]:
    """The values of a mask with each structure that it names as `values` has it; as they are where it names none.

    Raises:
        DataError: it holds a structure that `values` does not know.
    """
    if not mask.segments:
        return mask.values
    held = counted_values(mask.values)
    table = np.zeros(256, np.int64)
    called = {name: IGNORE if name.lower() == IGNORE else name for name, _ in mask.segments}
    values = values | {name: 0 for name in called if name.lower() == BACKGROUND}
    strange = [name for name, number in mask.segments if number in held and called[name] not in values]
    if strange:
        found = f"structures called {', '.join(map(repr, strange[:8]))}"
        remedy = "name them alike in every mask, and in labels.json where there is one"
        known = ", ".join(name for name, value in values.items() if value)
        raise DataError(str(path), found, f"those called {known}", remedy)
    for name, number in mask.segments:
        table[number] = values.get(called[name], 0)
    values_held: npt.NDArray[np.int64] = table[mask.values]
    return values_held


def labels_of_masks(masks: Sequence[Path], where: Path) -> Declared:
    """The classes that occur in the masks: those that they name, else `label_<value>`; none without masks.

    A structure that masks call `ignore` is what is not annotated. Masks that cannot be read are left to the check,
    unless none shows a class.

    Raises:
        DataError: no mask shows a class, with what is wrong with each of them; or some name theirs and others do not.
    """
    if not masks:
        return Declared(())
    values: dict[int, Path] = {}
    named: dict[str, Path] = {}
    faults: list[str] = []
    for path in masks:
        try:
            names, held = _shown(path)
        except DataError as fault:
            faults.append(f"{fault.where}: {fault.found}")
            continue
        for name in names:
            named.setdefault(name, path)
        for value in held:
            values.setdefault(value, path)
        if not names and not held:
            faults.append(f"{path}: every voxel is 0")
    if named and values:
        said = f"{next(iter(named.values())).name} names its structures and {next(iter(values.values())).name} does not"
        raise DataError(str(where), said, "masks of one kind", "say which value is which structure in labels.json")
    if not named and not values:
        listed = faults[:_LISTED] + ([f"... and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else [])
        said = "no mask shows what is to be segmented:\n  " + "\n  ".join(listed)
        raise DataError(str(where), said, "a label above 0 in some of them", "mend the masks, or copy them again")
    found = {name: value for value, name in enumerate(named, 1)} or {
        f"label_{value}": value for value in sorted(values)
    }
    ignored = next((value for name, value in found.items() if named and name.lower() == IGNORE), None)
    classes = tuple((name, value) for name, value in found.items() if value != ignored)
    return Declared(counted(classes, where), ignored)


def _shown(path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The structures that a mask names, or else the labels above 0 in it."""
    if is_structures(path):
        names = tuple(structure_files(path))
    elif is_series(path):
        names = tuple(name for name, _ in segment_names(path))
    else:
        names = tuple(segment.name for segment in read_segments(path))
    if names:
        return tuple(name for name in names if name.lower() != BACKGROUND), ()
    return (), tuple(value for value in counted_values(read_mask(path).values) if value)
