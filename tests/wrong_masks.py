"""Copies of a data set in which some masks are wrong in ways that masks are wrong: made with a seed, and written down.

swapped   two neighbouring structures have each other's name
shifted   the whole mask lies half a structure away from where it belongs
missing   a piece of a structure, a disc say, or a structure is not there
ragged    each slice's outline wavers by itself

python -m tests.wrong_masks DATASET TARGET --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.dataset import load_label, open_dataset
from autospine.data.disk.files import write_json
from autospine.data.geometry import Volume, canonical_orientation, orient_geometry, restore
from autospine.data.slices import slices_of
from autospine.data.structure import Case, Dataset, in_a_class
from autospine.data.volume import read_geometry, write_volume

KINDS = ("swapped", "shifted", "missing", "ragged")
WRONG = "wrong.json"
"""Beside the copy's dataset.json: what was done to which case."""
WAVER_VOXELS = 1.5
"""Standard deviation by which an outline wavers."""
SMOOTH_VOXELS = 2.0
"""Over so many voxels along a slice it wavers alike."""
REAL_PIECE = 0.2
"""Of the largest piece of a structure: smaller ones are crumbs, and not what somebody forgets."""

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Wrong:
    """What was done to a mask."""

    case: str
    kind: str
    structures: tuple[str, ...]


def write_wrong_copy(dataset: Path, target: Path, seed: int, share: float = 0.1) -> tuple[Wrong, ...]:
    """Write a copy of a data set in nnU-Net's layout, in which the masks of a `share` of the cases are wrong.

    Images, and the masks that stay as they are, are links. As many cases as can be are wrong in each way.
    """
    opened = open_dataset(dataset)
    for folder in ("imagesTr", "labelsTr"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    (target / "dataset.json").write_bytes((dataset / "dataset.json").read_bytes())
    for image in sorted((dataset / "imagesTr").iterdir()):
        _link(image, target / "imagesTr" / image.name)
    rng = np.random.default_rng(seed)
    cases = [case for case in opened.cases if case.label is not None]
    chosen = rng.permutation(len(cases))[: max(1, round(share * len(cases)))]
    kinds = {int(place): KINDS[number % len(KINDS)] for number, place in enumerate(chosen)}
    done = []
    for place, case in enumerate(cases):
        assert case.label is not None
        copy = target / "labelsTr" / case.label.name
        made = _spoilt(opened, case, kinds[place], rng) if place in kinds else None
        if made is None:
            _link(case.label, copy)
            continue
        values, what = made
        write_volume(copy, Volume(values[None], read_geometry(case.files[0])))
        done.append(what)
    write_json(target / WRONG, [asdict(one) for one in done])
    return tuple(done)


def read_wrong(target: Path) -> tuple[Wrong, ...]:
    """What was done to a copy."""
    content = json.loads((target / WRONG).read_text())
    return tuple(Wrong(one["case"], one["kind"], tuple(one["structures"])) for one in content)


def _link(source: Path, place: Path) -> None:
    if not os.path.lexists(place):
        place.symlink_to(source.resolve())


def _spoilt(
    opened: Dataset, case: Case, kind: str, rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], Wrong] | None:
    """The values of a mask in its file's axes and what was done to it; None where nothing could be."""
    assert case.label is not None
    label = load_label(opened, case, case.label)
    grid = read_geometry(case.files[0])
    lying = orient_geometry(grid)
    first = KINDS.index(kind)
    for one in (*KINDS[first:], *KINDS[:first]):  # one class cannot be swapped with another
        made = spoil(label, one, slices_of(lying), rng)
        if made is not None:
            values = np.array([0, *(own.value for own in opened.labels), *[0] * 255])
            values[255] = opened.ignore or 0
            names = tuple(opened.labels[index - 1].name for index in made[1])
            return restore(values[made[0]], canonical_orientation(grid)), Wrong(case.name, one, names)
    return None


def spoil(label: Labels, kind: str, slice_axis: int, rng: np.random.Generator) -> tuple[Labels, tuple[int, ...]] | None:
    """A mask (Z, Y, X) of class indices made wrong, and the classes that were; None where it cannot be wrong so."""
    there = [int(index) for index in np.unique(label[in_a_class(label)])]
    if not there:
        return None
    match kind:
        case "swapped":
            return _swap(label, there, rng)
        case "shifted":
            return _shift(label, there, rng)
        case "missing":
            return _delete(label, there, rng)
        case _:
            return _roughen(label, there, slice_axis, rng)


def _swap(label: Labels, there: Sequence[int], rng: np.random.Generator) -> tuple[Labels, tuple[int, ...]] | None:
    if len(there) < 2:
        return None
    pairs = list(pairwise(there))
    one, other = pairs[int(rng.integers(len(pairs)))]
    table = np.arange(256, dtype=np.uint8)
    table[[one, other]] = other, one
    return table[label], (one, other)


def _shift(label: Labels, there: Sequence[int], rng: np.random.Generator) -> tuple[Labels, tuple[int, ...]] | None:
    """Along the axis on which structures follow each other, or the longest one; what leaves the image is lost."""
    centres = np.array([ndimage.center_of_mass(label == index) for index in there])
    boxes = [box for index in there for box in _piece_boxes(label == index)]
    extents = np.array([[side.stop - side.start for side in box] for box in boxes])
    spread = centres.max(axis=0) - centres.min(axis=0)
    axis = int(np.argmax(spread if len(there) > 1 else extents.max(axis=0)))
    step = max(1, round(float(np.median(extents[:, axis])) / 2)) * int(rng.choice([-1, 1]))
    moved = np.zeros_like(label)
    size = label.shape[axis]
    source, onto = np.moveaxis(label, axis, 0), np.moveaxis(moved, axis, 0)
    onto[max(0, step) : size + min(0, step)] = source[max(0, -step) : size - max(0, step)]
    return (moved, tuple(there)) if in_a_class(moved).any() else None


def _delete(label: Labels, there: Sequence[int], rng: np.random.Generator) -> tuple[Labels, tuple[int, ...]] | None:
    """One piece of a structure that has several; a whole one of several structures."""
    for index in rng.permutation(there):
        numbers, sizes = _pieces(label == index)
        if len(sizes) == 1 and len(there) == 1:
            continue
        piece = int(rng.integers(len(sizes))) + 1
        gone = numbers == piece if len(sizes) > 1 else label == index
        return np.where(gone, 0, label).astype(np.uint8), (int(index),)
    return None


def _roughen(
    label: Labels, there: Sequence[int], axis: int, rng: np.random.Generator
) -> tuple[Labels, tuple[int, ...]] | None:
    rough = label.copy()
    for plane, onto in zip(np.moveaxis(label, axis, 0), np.moveaxis(rough, axis, 0), strict=True):
        if not plane.any():
            continue
        waves = [ndimage.gaussian_filter(rng.normal(size=plane.shape), SMOOTH_VOXELS) for _ in range(2)]
        moved = [wave * WAVER_VOXELS / wave.std() for wave in waves]
        places = np.indices(plane.shape) + np.stack(moved)
        onto[:] = ndimage.map_coordinates(plane, places, order=0, mode="nearest")
    return rough, tuple(there)


def _pieces(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(number of the piece of each voxel, 0 for none and for crumbs; sizes of the pieces)."""
    numbers, count = ndimage.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    kept = np.flatnonzero(sizes >= REAL_PIECE * sizes.max()) + 1
    becomes = np.zeros(count + 1, np.int64)
    becomes[kept] = np.arange(1, len(kept) + 1)
    return becomes[numbers], sizes[kept - 1]


def _piece_boxes(mask: npt.NDArray[np.bool_]) -> list[tuple[slice, ...]]:
    boxes: list[tuple[slice, ...]] = ndimage.find_objects(_pieces(mask)[0])
    return boxes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.1)
    asked = parser.parse_args()
    write_wrong_copy(asked.dataset, asked.target, asked.seed, asked.share)


if __name__ == "__main__":
    main()
