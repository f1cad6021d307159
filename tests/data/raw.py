"""Arrays of 3 x 4 x 5 voxels as files: in nnU-Net's raw layout, and in plain folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume

SHAPE = (3, 4, 5)
CHANNELS = ("T1", "T2", "PD")
OBLIQUE = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry(SHAPE, (4.0, 1.5, 0.7), (-12.5, 30.0, 7.25), OBLIQUE)


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry = GRID) -> None:
    """Write an array (Z, Y, X)."""
    write_volume(path, Volume(array[None], replace(geometry, shape=array.shape)))


def voxels(seed: int) -> npt.NDArray[np.int16]:
    return np.random.default_rng(seed).integers(1, 900, SHAPE).astype(np.int16)


def labelled(*values: int) -> npt.NDArray[np.uint8]:
    array = np.zeros(SHAPE, np.uint8)
    array.ravel()[: len(values)] = values
    return array


def raw(
    root: Path,
    names: tuple[str, ...] = ("a", "b"),
    channels: int = 1,
    ending: str = ".nii.gz",
    **description: Any,
) -> Path:
    """A folder in nnU-Net's raw layout, classes L5 = 1 and L4 = 4; `description` replaces keys of dataset.json."""
    for seed, name in enumerate(names):
        for channel in range(channels):
            write(root / "imagesTr" / f"{name}_{channel:04d}{ending}", voxels(10 * seed + channel))
        write(root / "labelsTr" / f"{name}{ending}", labelled(0, 1, 4, 1))
    content = {
        "channel_names": {str(channel): f"T{channel + 1}" for channel in range(channels)},
        "labels": {"background": 0, "L5": 1, "L4": 4},
        "file_ending": ending,
    }
    content = {key: value for key, value in (content | description).items() if value is not None}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def plain(root: Path, files: Mapping[str, npt.NDArray[Any]]) -> Path:
    for name, array in files.items():
        write(root / name, array)
    return root
