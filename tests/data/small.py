"""Small images and masks on one tilted grid, folders of them, and how a folder is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.dataset import open_dataset
from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Reading
from autospine.data.volume import write_volume
from tests.data.laid_out import Content

GRID = Geometry((3, 4, 5), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0))
LABELS = {"L5": 1, "L4": 4}


def image(seed: int) -> Volume:
    return Volume(np.random.default_rng(seed).integers(1, 900, (1, *GRID.shape)).astype(np.uint16), GRID)


def mask(*values: int) -> Volume:
    array = np.zeros(GRID.shape, np.uint8)
    array.ravel()[: len(values)] = values
    return Volume(array[None], GRID)


CONTENT = Content({f"sub-{seed:02d}": (image(seed), mask(0, 1, 4, 1, seed % 2)) for seed in range(1, 7)}, LABELS)


def put(root: Path, *names: str, volume: Volume | None = None) -> None:
    for seed, name in enumerate(names):
        write_volume(root / name, volume or image(seed))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def write_four(path: Path, array: npt.NDArray[Any]) -> None:
    """A 4D NIfTI file of channels (C, Z, Y, X) on the grid."""
    import SimpleITK

    path.parent.mkdir(parents=True)
    files = [SimpleITK.GetImageFromArray(channel) for channel in array]
    for one in files:
        one.SetSpacing(GRID.spacing_mm[::-1])
        one.SetOrigin(GRID.origin_mm)
        one.SetDirection(GRID.direction)
    SimpleITK.WriteImage(SimpleITK.JoinSeries(files), str(path))


def seen(root: Path, masks: str | None = None) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """Case -> names of its images and of its mask."""
    dataset = open_dataset(root, Reading(masks=masks))
    return {
        case.name: (tuple(path.name for path in case.images), None if case.label is None else case.label.name)
        for case in dataset.cases
    }
