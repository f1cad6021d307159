"""One and the same dataset gives the same fingerprint, plan and folds, however it is laid out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospine.data.dataset import open_dataset
from autospine.data.disk.files import read_json
from autospine.data.geometry import Geometry, Volume, to_canonical
from autospine.data.volume import read_volume
from autospine.workflow.plan import PlanRequest, plan_dataset
from tests.data.laid_out import LAID_OUT, Content

GRID = Geometry((5, 40, 36), (4.0, 1.5, 0.75), (-12.5, 30.0, 7.25), (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0))


def drawn(seed: int) -> tuple[Volume, Volume]:
    rng = np.random.default_rng(seed)
    image = rng.integers(1, 900, (1, *GRID.shape)).astype(np.uint16)
    mask = np.zeros((1, *GRID.shape), np.uint8)
    low = rng.integers(2, 8)
    mask[0, 1:4, low : low + 8, 6:18], mask[0, 1:3, low + 12 : low + 20, 8:16] = 1, 4
    return Volume(image, GRID), Volume(mask, GRID)


def results(root: Path, runs: Path) -> tuple[Any, str, Any]:
    """Fingerprint, plan and folds, the channel called as in every other layout."""
    (channel,) = open_dataset(root).channels
    planned = plan_dataset(root, runs, PlanRequest(device="cpu"))
    fingerprint = planned.folder.read_fingerprint()
    assert fingerprint.channels == (channel,)
    named = replace(fingerprint, channels=("T2w",)).to_json()
    text = planned.folder.plan.read_text()
    # the plan names its channels once, and the fingerprint that it was made from
    plan = text.replace(f'"{channel}"', '"T2w"').replace(fingerprint.hash(), "hash")
    return named, plan, read_json(planned.folder.splits)


def compare(tmp_path: Path, content: Content, names: list[str]) -> None:
    first, *others = (
        results(LAID_OUT[name][1](tmp_path / str(index) / "spine", content), tmp_path / str(index) / "runs")
        for index, name in enumerate(names)
    )
    for name, other in zip(names[1:], others, strict=True):
        assert other[0] == first[0], name
        assert other[1] == first[1], name
        assert other[2] == first[2], name


def test_every_layout_gives_the_same_plan(tmp_path: Path, steady: None) -> None:
    content = Content({f"sub-{seed:02d}": drawn(seed) for seed in range(1, 7)}, {"L5": 1, "L4": 4})
    compare(tmp_path, content, list(LAID_OUT))


@pytest.mark.slow
def test_a_real_dataset_gives_the_same_plan_in_every_layout(
    tmp_path: Path, real_data: Callable[[str], Path], steady: None
) -> None:
    dataset = open_dataset(real_data("lumbar-water"))
    cases = {}
    for case in dataset.cases:
        assert case.label is not None
        pair = (read_volume(case.images[0]), read_volume(case.label))
        cases[case.name.replace("water_", "sub-")] = (to_canonical(pair[0]), to_canonical(pair[1]))
    compare(tmp_path, Content(cases, {label.name: label.value for label in dataset.labels}), list(LAID_OUT))
