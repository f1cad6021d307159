"""A synthetic lumbar spine: labelled volumes that behave like sagittal T2 scans, for the demo and the tests.

The anatomy (phantom_anatomy.py) is rendered on a grid that is finer than a voxel and averaged, which gives partial
volume; a receive field and Rician noise follow. Levels look alike on purpose: to name one, a network has to see where
it stands. The files are stored in sagittal order with an oblique direction, as scanners write them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.files import read_json, write_json
from autospine.data.geometry import Geometry, Volume
from autospine.data.phantom_anatomy import FINE, LABELS, FloatArray, Grid, LabelArray, draw_chain, render
from autospine.data.volume import write_volume
from autospine.errors import OutputError

DESCRIPTION = (
    "autospine phantom: synthetic images of a lumbar spine, drawn by a computer program from a random seed. "
    "No patient, no scanner; scores on it say that the software works, nothing about clinical use."
)


@dataclass(frozen=True)
class PhantomCase:
    """One phantom in canonical axes (Z, Y, X), and the geometry of the file it is stored in."""

    image: npt.NDArray[np.int16]
    """Intensities (Z, Y, X)."""
    label: LabelArray
    """Values of `LABELS` (Z, Y, X), 0 elsewhere."""
    spacing_mm: tuple[float, float, float]
    """Voxel size (Z, Y, X)."""
    geometry: Geometry
    """Of the file: axes to the right, inferior and posterior, tilted about two axes."""


def write_phantom(
    root: Path,
    *,
    cases: int = 12,
    test_cases: int = 3,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Writes a phantom dataset in nnU-Net's raw layout and returns `root`.

    `imagesTr`/`labelsTr` hold the cases to train on, `imagesTs`/`labelsTs` those kept apart. The same seed gives the
    same voxels. A phantom that is there already is replaced.

    Args:
        root: the dataset's folder, made where it is missing.
        cases: number of training cases.
        test_cases: number of cases kept apart.
        seed: of everything that is random.
        progress: called with (case, done, total) after each case.

    Raises:
        OutputError: the folder cannot be written, or holds a dataset that is not a phantom.
    """
    root = Path(root)
    manifest = root / "dataset.json"
    if manifest.exists() and not _is_phantom(manifest):
        raise OutputError(
            str(root), "holds a dataset that is not a phantom", "an empty or new folder", "give another folder"
        )
    _remove_cases(root)
    total = cases + test_cases
    for number in range(total):
        name = f"phantom_{number + 1:03d}"
        suffix = "Tr" if number < cases else "Ts"
        case = draw_case(seed, number)
        write_volume(root / f"images{suffix}" / f"{name}_0000.nii.gz", _stored(case.image, case.geometry))
        write_volume(root / f"labels{suffix}" / f"{name}.nii.gz", _stored(case.label, case.geometry))
        if progress is not None:
            progress(name, number + 1, total)
    write_json(
        manifest,
        {
            "name": "phantom",
            "description": DESCRIPTION,
            "channel_names": {"0": "T2"},
            "labels": {"background": 0} | dict(LABELS),
            "numTraining": cases,
            "file_ending": ".nii.gz",
        },
    )
    return root


def _is_phantom(manifest: Path) -> bool:
    """Whether a dataset.json was written by `write_phantom`."""
    content = read_json(manifest)
    return isinstance(content, dict) and content.get("description") == DESCRIPTION


def _remove_cases(root: Path) -> None:
    """Removes the cases of an earlier phantom, which may have had more of them."""
    try:
        for folder in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
            for stale in (root / folder).glob("phantom_*.nii.gz"):
                stale.unlink()
    except OSError as error:
        raise OutputError(str(root), f"cannot be cleared ({error})", remedy="give another folder") from error


def draw_case(seed: int, number: int) -> PhantomCase:
    """Phantom `number` of the series `seed`: its own size, voxels, pose, anatomy, contrast, field and noise."""
    rng = np.random.default_rng((seed, number))
    shape = (int(rng.integers(94, 101)), int(rng.integers(76, 85)), int(rng.integers(10, 13)))
    spacing_mm = (float(rng.uniform(2.0, 2.1)), float(rng.uniform(1.9, 2.0)), float(rng.uniform(3.9, 4.2)))
    grid = Grid(shape, spacing_mm)
    blocks = draw_chain(rng, grid.extent_mm)
    signal, labels = render(rng, grid, blocks)

    # Partial volume: a voxel is the mean of its samples.
    image = _sum_of_blocks(signal) / math.prod(FINE) * _receive_field(rng, shape)
    sigma = rng.uniform(0.02, 0.04)
    # Rician: the magnitude of a complex signal with equal noise in both parts.
    real, imaginary = (rng.normal(0, sigma, shape).astype(np.float32) for _ in range(2))
    gain = rng.uniform(500, 1100)
    magnitude = np.hypot(image + real, imaginary) * gain
    return PhantomCase(
        image=np.rint(magnitude).astype(np.int16),
        label=_majority_of_blocks(labels),
        spacing_mm=spacing_mm,
        geometry=_file_geometry(rng, shape, spacing_mm),
    )


def _receive_field(rng: np.random.Generator, shape: tuple[int, int, int]) -> FloatArray:
    """Coil sensitivity (Z, Y, X): the coil lies under the back, so anterior tissue is darker; with slow drifts."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(size)) for size in shape)]
    log_field = rng.uniform(0.15, 0.35) * y + rng.uniform(-0.12, 0.12) * z + rng.uniform(-0.06, 0.06) * x
    log_field = log_field - rng.uniform(0.05, 0.2) * z**2
    return np.exp(log_field).astype(np.float32)


def _sum_of_blocks(fine: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sum of the samples of each voxel, in the type of the samples."""
    for axis, factor in enumerate(FINE):
        moved = np.moveaxis(fine, axis, 0)
        total = moved[::factor].copy()
        for offset in range(1, factor):
            total += moved[offset::factor]
        fine = np.moveaxis(total, 0, axis)
    return fine


def _majority_of_blocks(fine: LabelArray) -> LabelArray:
    """The value that most samples of a voxel have; the smaller one on a tie."""
    most = _sum_of_blocks((fine == 0).astype(np.uint8))
    winner = np.zeros(most.shape, np.uint8)
    for _, value in LABELS:
        votes = _sum_of_blocks((fine == value).astype(np.uint8))
        winner[votes > most] = value
        most = np.maximum(votes, most)
    return winner


def _file_geometry(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> Geometry:
    """Geometry of the sagittal file: its array axes run to the right, inferior and posterior, a few degrees off."""
    # Columns are the directions (x, y, z in LPS) of the file's fastest to slowest axis.
    sagittal = np.array(((0, 0, -1), (1, 0, 0), (0, -1, 0)), float)
    about_x, about_z = np.radians(rng.uniform(2, 6, 2) * rng.choice((-1, 1), 2))
    tilt_x = np.array(((1, 0, 0), (0, np.cos(about_x), -np.sin(about_x)), (0, np.sin(about_x), np.cos(about_x))))
    tilt_z = np.array(((np.cos(about_z), -np.sin(about_z), 0), (np.sin(about_z), np.cos(about_z), 0), (0, 0, 1)))
    direction = tilt_z @ tilt_x @ sagittal
    origin = rng.uniform(-20, 20, 3) + (0.5 * shape[2] * spacing_mm[2], -90, 100)
    return Geometry(
        shape=(shape[2], shape[0], shape[1]),
        spacing_mm=(spacing_mm[2], spacing_mm[0], spacing_mm[1]),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=tuple(float(value) for value in direction.ravel()),
        dimension=3,
    )


def _stored(array: npt.NDArray[Any], geometry: Geometry) -> Volume:
    """A canonical array (Z, Y, X) in the file's axes: (right, inferior, posterior)."""
    return Volume(np.ascontiguousarray(array.transpose(2, 0, 1)[::-1, ::-1])[None], geometry, ())
