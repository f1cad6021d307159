"""An image and a mask of two classes on one tilted grid, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))


def image(root: Path, name: str, seed: int = 0) -> None:
    voxels = np.random.default_rng(seed).integers(1, 900, (1, *GRID.shape)).astype(np.uint16)
    write_volume(root / name, Volume(voxels, GRID))


def labels(dtype: type = np.uint8) -> np.ndarray:
    held = np.zeros(GRID.shape, dtype)
    held[1, 1:3, 2:4], held[2, 0, 0] = 1, 2
    return held


def mask(root: Path, name: str, array: np.ndarray, grid: Geometry = GRID) -> Path:
    write_volume(root / name, Volume(array[None] if array.ndim == 3 else array, grid))
    return root / name
