from __future__ import annotations

from pathlib import Path

import numpy as np

from autospine.data.codes.structures import structures_of
from autospine.data.geometry import Geometry, Volume
from autospine.report.preview import write_preview

STRUCTURES = structures_of([("L5", 1), ("canal_with_$", 2), ("absent", 3)])
GRID = Geometry((9, 24, 20), (4.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.0, 0, 1.0, 1.0, 0, 0, 0, -1.0, 0))


def test_a_picture_shows_what_was_found(tmp_path: Path) -> None:
    from PIL import Image

    image = Volume(np.random.default_rng(0).normal(100, 5, (2, *GRID.shape)).astype(np.float32), GRID)
    labels = np.zeros((1, *GRID.shape), np.uint8)
    labels[0, 2:7, 4:18, 5:14] = 1
    write_preview(tmp_path / "a.png", image, Volume(labels, GRID), STRUCTURES, "case_1")
    write_preview(tmp_path / "b.png", image, Volume(labels * 0, GRID), STRUCTURES, r"a formula: $\frac{ $")
    found, empty = (np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int) for name in ("a.png", "b.png"))
    wanted = np.array(STRUCTURES[0].colour)
    near = [int((np.abs(picture - wanted).max(axis=-1) <= 3).sum()) for picture in (found, empty)]
    assert near[0] > 200 and near[1] == 0
