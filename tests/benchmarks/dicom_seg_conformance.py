"""DICOM-SEG objects of a series in all 48 orientations, checked by dciodvfy and read by dcmqi and highdicom.

    python -m tests.benchmarks.dicom_seg_conformance [SERIES]

SERIES is a folder of DICOM slices (`shared/data/dicom-t2-lumbar` unless given). Its voxels are written anew as a series
in each orientation, turned by some degrees, with blocks of random places and sizes as structures. Said for each: errors
of dciodvfy, voxels that differ in what the two readers give back, and the farthest that a voxel lies from its place.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from autospine.data.codes.structures import structures_of
from autospine.data.formats.dicom_seg import read_segmentation
from autospine.data.geometry import Geometry, Orientation, Volume, orient, orient_geometry, triple
from autospine.data.made_by import MadeBy
from autospine.data.segmentation_files import write_segmentation
from autospine.data.volume import read_volume
from tests.data.dicom_files import write_series
from tests.data.orientations import turned

STRUCTURES = structures_of([("L5", 1), ("L4/L5 disc", 2), ("spinal cord", 3), ("left ES", 4), ("no such thing", 5)])
MADE_BY = MadeBy("conformance", "0" * 64)


def blocks(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Label values (Z, Y, X) of structures that are a block each; the last is nowhere."""
    random, labels = np.random.default_rng(seed), np.zeros(shape, np.uint8)
    for one in STRUCTURES[:-1]:
        start = [int(random.integers(0, size * 3 // 4)) for size in shape]
        stop = [
            first + max(1, int(random.integers(1, size // 4 + 2))) for first, size in zip(start, shape, strict=True)
        ]
        labels[tuple(map(slice, start, stop))] = one.value
    return labels


def farthest_mm(read: Volume, geometry: Geometry) -> tuple[float, np.ndarray]:
    """How far the corners of what was read lie from voxels of the grid, and its voxels on that grid."""
    ends = np.array(list(itertools.product(*((0, size - 1) for size in read.geometry.shape))), float)
    places = np.asarray(read.geometry.origin_mm) + ends * np.asarray(read.geometry.spacing_mm) @ read.geometry.axes().T
    index = (places - np.asarray(geometry.origin_mm)) @ geometry.axes() / np.asarray(geometry.spacing_mm)
    nearest = np.rint(index)
    apart = np.linalg.norm((index - nearest) * np.asarray(geometry.spacing_mm), axis=1).max()
    laid = np.zeros(geometry.shape, bool)
    inside = np.argwhere(read.array[0] > 0).astype(float)
    if len(inside):
        at = (
            np.asarray(read.geometry.origin_mm) + inside * np.asarray(read.geometry.spacing_mm) @ read.geometry.axes().T
        )
        found = np.rint((at - np.asarray(geometry.origin_mm)) @ geometry.axes() / np.asarray(geometry.spacing_mm))
        laid[tuple(found.astype(int).T)] = True
    return float(apart), laid


def by_dcmqi(path: Path, folder: Path) -> dict[int, Volume]:
    """Segment number -> what dcmqi reads."""
    tool = shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent)) or "segimage2itkimage"
    folder.mkdir()
    command = [tool, "--inputDICOM", str(path), "--outputDirectory", str(folder), "-t", "nrrd", "-p", "s"]
    subprocess.run(command, capture_output=True, check=True)
    return {int(file.stem.rpartition("-")[2]): read_volume(file) for file in folder.glob("s-*.nrrd")}


def check(array: np.ndarray, geometry: Geometry, folder: Path, seed: int) -> tuple[int, int, int, float]:
    """Errors of dciodvfy, voxels that highdicom and that dcmqi read otherwise, farthest place in mm."""
    write_series(folder / "series", array, geometry)
    image = read_volume(folder / "series")
    labels = blocks(image.geometry.shape, seed)
    path = folder / "seg.dcm"
    write_segmentation(path, Volume(labels[None], image.geometry), STRUCTURES, (folder / "series",), MADE_BY)
    said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    errors = sum(line.startswith("Error") for line in (said.stdout + said.stderr).splitlines())
    own = int((read_segmentation(path, image.geometry) != labels).sum())
    other, apart = 0, 0.0
    read = by_dcmqi(path, folder / "dcmqi")
    for number, one in enumerate(STRUCTURES, start=1):
        distance, laid = (
            farthest_mm(read[number], image.geometry) if number in read else (0.0, np.zeros(labels.shape, bool))
        )
        other += int((laid != (labels == one.value)).sum())
        apart = max(apart, distance if (labels == one.value).any() else 0.0)
    return errors, own, other, apart


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="?", type=Path, default=Path("shared/data/dicom-t2-lumbar"))
    source = read_volume(parser.parse_args().series)
    worst = np.zeros(4)
    print("axes       flips   dciodvfy errors  highdicom differs  dcmqi differs  farthest mm")
    for seed, (permutation, flips) in enumerate(
        itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3))
    ):
        way = Orientation(triple(permutation), triple(flips))
        array, straight = orient(source.array, way)[0], orient_geometry(source.geometry, way)
        direction = turned(np.asarray(straight.direction).reshape(3, 3))
        geometry = replace(straight, direction=tuple(direction.ravel().tolist()))
        with tempfile.TemporaryDirectory() as folder:
            found = check(np.clip(array, 0, None), geometry, Path(folder), seed)
        worst = np.maximum(worst, found)
        signs = "".join("-+"[not flip] for flip in flips)
        print(f"{permutation}  {signs:6}  {found[0]:15d}  {found[1]:17d}  {found[2]:13d}  {found[3]:11.1e}", flush=True)
    print(f"worst              {int(worst[0]):15d}  {int(worst[1]):17d}  {int(worst[2]):13d}  {worst[3]:11.1e}")
    sys.exit(bool(worst[:3].any() or worst[3] > 1e-4))


if __name__ == "__main__":
    main()
