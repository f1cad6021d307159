"""Masks of one file per structure in a folder, as TotalSegmentator lays them out: the files' names say what they are.

s0001/mri.nii.gz
s0001/segmentations/vertebrae_L5.nii.gz     0 and 1
s0001/segmentations/sacrum.nii.gz           0 and 1
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import unreadable
from autospine.data.formats.slicer import overlap
from autospine.data.geometry import Geometry, same_grid
from autospine.data.masks.values import counted_values, whole_values
from autospine.data.volume import read_volume, stem, suffix_of
from autospine.data.wording import shortened
from autospine.errors import DataError


def structure_files(folder: Path) -> dict[str, Path]:
    """Name -> file, of the images in a folder that are not hidden, by name; empty where there are none.

    Raises:
        DataError: the folder cannot be read, or two files have one name.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and suffix_of(entry))
    except OSError as fault:
        raise unreadable(folder, fault) from fault
    named: dict[str, Path] = {}
    for path in entries:
        if stem(path) in named:
            raise DataError(str(path), f"the same name as {named[stem(path)].name}", "one file for each structure")
        named[stem(path)] = path
    return named


def is_structures(path: Path) -> bool:
    """Whether `path` is a folder of images, and so not that of a DICOM series."""
    return path.is_dir() and bool(structure_files(path))


def read_structures(
    folder: Path, wanted: Collection[str] | None
) -> tuple[npt.NDArray[np.uint8], Geometry, tuple[tuple[str, int], ...]]:
    """The structures of a folder in one mask: numbers (Z, Y, X), its grid, and (name, number) of each structure.

    Args:
        folder: one file per structure, 0 where it is not.
        wanted: the structures to read; None: all.

    Raises:
        DataError: none of them is there, a file cannot be read or is no mask of one structure, grids differ, or
            structures share voxels.
    """
    held = structure_files(folder)
    files = {name: path for name, path in held.items() if wanted is None or name in wanted}
    if not files or len(files) > 255:
        found = f"{len(held)} structures ({shortened(list(held))})"
        expected = f"some of {', '.join(wanted)}" if wanted else "1 to 255 of them"
        raise DataError(str(folder), found, expected, "name those to read in labels.json")
    numbers: npt.NDArray[np.uint8] | None = None
    grid: Geometry | None = None
    names = ["", *files]
    shared: dict[tuple[str, str], int] = {}
    for number, path in enumerate(files.values(), 1):
        volume = read_volume(path)
        values, _ = whole_values(volume.array, path)
        kinds = [value for value in counted_values(values) if value]
        if len(kinds) > 1:
            found = f"{len(kinds)} labels ({', '.join(map(str, kinds[:6]))})"
            raise DataError(str(path), found, "0 and one value: a structure has a file of its own here")
        if numbers is None or grid is None:
            numbers, grid = np.zeros(values.shape, np.uint8), volume.geometry
        differs = same_grid(grid, volume.geometry)
        if differs is not None:
            found = f"not on the grid of {next(iter(files.values())).name}: {differs}"
            raise DataError(str(path), found, "all structures on one grid", "export them again")
        inside = values > 0
        for other, count in counted_values(numbers[inside]).items() if inside.any() else ():
            if other:
                shared[names[other], names[number]] = count
        numbers[inside] = number
    assert numbers is not None and grid is not None  # there is a file at least
    if shared:
        raise overlap(folder, shared)
    return numbers, grid, tuple((name, number) for number, name in enumerate(files, 1))
