"""One scene as nibabel and ITK write it."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from autospine.data.formats.itk import sitk
from autospine.data.geometry import Geometry

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.7), (-12.5, 30.0, 7.25), (0.0, 0.6, 0.8, 1.0, 0.0, 0.0, 0.0, 0.8, -0.6))
ARRAY = np.arange(60, dtype=np.int16).reshape(1, 3, 4, 5)


def by_nibabel(path: Path) -> Path:
    """The scene on `GRID` as nibabel writes it."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(GRID.direction).reshape(3, 3) * GRID.spacing_mm[::-1]
    matrix[:3, 3] = GRID.origin_mm
    made = {".mgz": nibabel.MGHImage, ".mgh": nibabel.MGHImage, ".hdr": nibabel.Nifti1Pair}[path.suffix]
    made(ARRAY[0].T, np.diag([-1, -1, 1, 1]) @ matrix).to_filename(path)
    return path


def by_itk(path: Path) -> Path:
    image = sitk().GetImageFromArray(ARRAY[0])
    image.SetSpacing(GRID.spacing_mm[::-1])
    image.SetOrigin(GRID.origin_mm)
    image.SetDirection(GRID.direction)
    sitk().WriteImage(image, str(path), useCompression=True)
    return path
