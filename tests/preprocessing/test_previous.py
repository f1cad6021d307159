"""A previous stage's segmentation on disk, and as channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autospine.errors import PlanError
from autospine.preprocessing.arrays import write_array
from autospine.preprocessing.previous import PreviousStage


def test_a_file_is_mapped_and_checked(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 3, (3, 4, 5)).astype(np.uint8)
    path = tmp_path / "next" / "a.npy"
    write_array(path, labels.transpose(0, 2, 1))
    stage = PreviousStage({"a": path, "b": tmp_path / "b.npy"}, "k")
    opened = stage.open("a", (3, 5, 4))
    assert isinstance(opened, np.memmap)
    np.testing.assert_array_equal(opened, labels.transpose(0, 2, 1))
    with pytest.raises(PlanError, match=r"shape \(3, 5, 4\)"):
        stage.open("a", (3, 4, 5))
    with pytest.raises(PlanError, match="missing or damaged"):
        stage.open("b", (3, 4, 5))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PlanError, match="missing or damaged"):
        stage.open("a", (3, 5, 4))
