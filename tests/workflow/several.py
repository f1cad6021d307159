"""Six cases of three sequences, of which some are missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume

GRID = Geometry((12, 16, 14), (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
MISSING = {2: "T1", 4: "T1", 5: "STIR"}
NAMES = ("T2", "T1", "STIR")


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Six cases of three sequences as a manifest; two lack T1, one lacks STIR, the order of the rows is odd."""
    root = tmp_path / "several"
    rows = []
    for number in range(6):
        rng = np.random.default_rng(number)
        mask = np.zeros((1, *GRID.shape), np.uint8)
        low = int(rng.integers(2, 5))
        mask[0, low : low + 5, 4:11, 3:10] = 1
        cells = []
        for index, name in enumerate(NAMES):
            if MISSING.get(number) == name:
                cells.append("")
                continue
            image = rng.normal(100, 5, (1, *GRID.shape)) + (index + 1) * 30.0 * mask
            cells.append(f"{number}_{name}.nii.gz")
            write_volume(root / cells[-1], Volume(image.astype(np.float32), GRID))
        write_volume(root / f"{number}_mask.nii.gz", Volume(mask, GRID))
        rows.append(",".join([f"case_{number}", *cells, f"{number}_mask.nii.gz"]))
    (root / "manifest.csv").write_text("\n".join(["case,T2,T1,STIR,label", *reversed(rows)]))
    (root / "labels.json").write_text(json.dumps({"block": 1}))
    return root
