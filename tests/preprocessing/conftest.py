"""A small data set for the tests of stores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.dataset import open_dataset
from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Dataset
from autospine.data.volume import write_volume

NAMES = ("a", "b", "store")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Three small cases of different size on an oblique grid, in nnU-Net's layout."""
    root = tmp_path / "demo"
    turn = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
    for index, name in enumerate(NAMES):
        shape = (8 + index, 14, 11)
        rng = np.random.default_rng(index)
        geometry = Geometry(shape, (2.0, 1.0, 1.5), (3.0, -4.0, 5.0), turn, 3)
        label = np.zeros(shape, np.uint8)
        label[2:6, 3:9, 2:7] = 1
        label[4:7, 8:12, 4:10] = 2
        image = rng.normal(100, 10, shape).astype(np.float32) + 50 * label
        image[0] = 0
        write_volume(root / "imagesTr" / f"{name}_0000.nii.gz", Volume(image[None], geometry, ()))
        write_volume(root / "labelsTr" / f"{name}.nii.gz", Volume(label[None], geometry, ()))
    content = {
        "channel_names": {"0": "T2"},
        "labels": {"background": 0, "L1": 1, "L2": 2, "L3": 3},
        "numTraining": 3,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(content))
    return open_dataset(root)
