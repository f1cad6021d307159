"""What a scanner makes of a drawing: voxels with partial volume, a receive field, Rician noise, an oblique file.

The drawing's samples are averaged to voxels, and a label is what most samples of a voxel have. Every sequence of a scan
is received by the same coil, with noise and gain of its own. Files are stored in the order of their plane, tilted about
two axes, as scanners write them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Geometry, Orientation, Volume, restore, triple
from autospine.phantom.grid import FloatArray, Grid, LabelArray, Millimetres, Shape

Plane = Literal["sagittal", "axial"]


@dataclass(frozen=True)
class Scene:
    """A drawing on the fine grid, ready to be scanned."""

    grid: Grid
    signals: tuple[FloatArray, ...]
    """Per sequence: 0 (air, cortical bone) to about 1 (fluid), on the fine grid (Z, Y, X)."""
    labels: LabelArray
    """Values on disk, on the fine grid (Z, Y, X)."""
    plane: Plane
    """The plane of the slices."""


@dataclass(frozen=True)
class PhantomCase:
    """One phantom in canonical axes, and the geometry of the files it is stored in."""

    image: npt.NDArray[np.int16]
    """Intensities (C, Z, Y, X), a channel per sequence."""
    label: LabelArray
    """Values on disk of the classes (Z, Y, X), 0 elsewhere."""
    spacing_mm: Millimetres
    """Voxel size (Z, Y, X)."""
    geometry: Geometry
    """Of the files, tilted about two axes."""
    orientation: Orientation
    """How the files' axes become canonical ones."""

    def stored(self, array: npt.NDArray[Any]) -> Volume:
        """A canonical array (Z, Y, X) in the files' axes."""
        return Volume(restore(array, self.orientation)[None], self.geometry)


def scan(rng: np.random.Generator, scene: Scene) -> PhantomCase:
    """A case of voxels from a scene of samples."""
    grid = scene.grid
    field, orientation = _receive_field(rng, grid.voxels), _orientation(scene.plane)
    image = np.stack([_received(rng, signal, field, grid.fine) for signal in scene.signals])
    return PhantomCase(
        image=image,
        label=_majority_of_blocks(scene.labels, grid.fine),
        spacing_mm=grid.spacing_mm,
        geometry=_file_geometry(rng, grid, orientation),
        orientation=orientation,
    )


def _received(rng: np.random.Generator, signal: FloatArray, field: FloatArray, fine: Shape) -> npt.NDArray[np.int16]:
    """Intensities (Z, Y, X) of one sequence."""
    # Partial volume: a voxel is the mean of its samples.
    image = _sum_of_blocks(signal, fine) / math.prod(fine) * field
    sigma = rng.uniform(0.02, 0.04)
    # Rician: the magnitude of a complex signal with equal noise in both parts.
    real, imaginary = (rng.normal(0, sigma, field.shape).astype(np.float32) for _ in range(2))
    gain = rng.uniform(500, 1100)
    return np.asarray(np.rint(np.hypot(image + real, imaginary) * gain), np.int16)


def _receive_field(rng: np.random.Generator, shape: Shape) -> FloatArray:
    """Coil sensitivity (Z, Y, X): the coil lies under the back, so anterior tissue is darker; with slow drifts."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, complex(size)) for size in shape)]
    log_field = rng.uniform(0.15, 0.35) * y + rng.uniform(-0.12, 0.12) * z + rng.uniform(-0.06, 0.06) * x
    log_field = log_field - rng.uniform(0.05, 0.2) * z**2
    return np.exp(log_field).astype(np.float32)


def _sum_of_blocks(samples: npt.NDArray[Any], fine: Shape) -> npt.NDArray[Any]:
    """Sum of the samples of each voxel, in the type of the samples."""
    for axis, factor in enumerate(fine):
        moved = np.moveaxis(samples, axis, 0)
        total = moved[::factor].copy()
        for offset in range(1, factor):
            total += moved[offset::factor]
        samples = np.moveaxis(total, 0, axis)
    return samples


def _majority_of_blocks(samples: LabelArray, fine: Shape) -> LabelArray:
    """The value that most samples of a voxel have; the smaller one on a tie."""
    most = _sum_of_blocks((samples == 0).astype(np.uint8), fine)
    winner = np.zeros(most.shape, np.uint8)
    for value in range(1, int(samples.max()) + 1):
        votes = _sum_of_blocks((samples == value).astype(np.uint8), fine)
        winner[votes > most] = value
        most = np.maximum(votes, most)
    return winner


def _orientation(plane: Plane) -> Orientation:
    """How the axes of a file in this plane become canonical ones."""
    match plane:
        case "sagittal":  # array axes to the right, inferior and posterior
            return Orientation(permutation=(1, 2, 0), flips=(True, False, True))
        case "axial":  # to inferior, posterior and the right
            return Orientation(permutation=(0, 1, 2), flips=(True, False, True))


def _file_geometry(rng: np.random.Generator, grid: Grid, orientation: Orientation) -> Geometry:
    """Geometry of the file: its array axes are those of `orientation`, a few degrees off."""
    # Columns are the directions (x, y, z in LPS) of the file's fastest to slowest axis.
    signs = np.where(orientation.flips, -1.0, 1.0)
    straight = np.zeros((3, 3))
    for canonical, stored in enumerate(orientation.permutation):
        straight[2 - canonical, 2 - stored] = signs[canonical]
    about_x, about_z = np.radians(rng.uniform(2, 6, 2) * rng.choice((-1, 1), 2))
    tilt_x = np.array(((1, 0, 0), (0, np.cos(about_x), -np.sin(about_x)), (0, np.sin(about_x), np.cos(about_x))))
    tilt_z = np.array(((np.cos(about_z), -np.sin(about_z), 0), (np.sin(about_z), np.cos(about_z), 0), (0, 0, 1)))
    direction = tilt_z @ tilt_x @ straight
    # the first voxel lies to the left, in front and on top of the scanner's centre
    z_mm = 100 if orientation.permutation[0] else 0.5 * grid.extent_mm[0]
    origin = rng.uniform(-20, 20, 3) + (0.5 * grid.voxels[2] * grid.spacing_mm[2], -90, z_mm)
    places = triple(orientation.permutation.index(axis) for axis in range(3))
    return Geometry(
        shape=triple(grid.voxels[place] for place in places),
        spacing_mm=triple(grid.spacing_mm[place] for place in places),
        origin_mm=triple(origin.tolist()),
        direction=tuple(direction.ravel().tolist()),
    )
