"""Parts of a case along its column, shown as if the image were no more than that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from autospine.data.structure import IGNORED
from autospine.training.narrow import LEAST_SHOWN, MOST_SHOWN, Part

ROWS = 100


def case(*rows: int) -> Any:
    """A case of a hundred rows, with voxels of a label in some."""
    locations = {1: np.array([(0, row, 3) for row in rows])} if rows else {}
    return SimpleNamespace(label=np.zeros((4, ROWS, 10), np.uint8), locations=locations)


def test_parts_hold_a_voxel_of_a_label_and_lie_in_the_case() -> None:
    rng = np.random.default_rng(0)
    parts = [Part.draw(rng, case(10, 90), 1) for _ in range(300)]
    lengths = [part.end - part.first for part in parts]
    assert min(part.first for part in parts) >= 0 and max(part.end for part in parts) <= ROWS
    assert all(part.first <= 10 < part.end or part.first <= 90 < part.end for part in parts)
    assert min(lengths) < 25 and max(lengths) > 70
    assert LEAST_SHOWN * ROWS <= min(lengths) + 1 and max(lengths) <= MOST_SHOWN * ROWS
    assert Part.draw(rng, case(), 1).end <= ROWS  # of a case without labels any part


def test_a_short_part_stands_in_the_middle_of_the_patch() -> None:
    rng, start = np.random.default_rng(0), np.array([2, 0, 0])
    assert Part(1, 30, 50).place(start, 40, rng).tolist() == [2, 20, 0]
    places = {int(Part(1, 30, 90).place(start, 40, rng)[1]) for _ in range(200)}
    assert places == set(range(30, 51)) and start.tolist() == [2, 0, 0]


def test_what_is_beside_the_part_is_black_and_not_judged() -> None:
    image, label = torch.ones(2, 1, 40, 8), torch.ones(1, 40, 8, dtype=torch.uint8)
    Part(1, 30, 50).hide(image, label, 20)
    assert image[:, :, 10:30].all() and not image[:, :, :10].any() and not image[:, :, 30:].any()
    assert (label[:, 10:30] == 1).all() and (label[:, :10] == IGNORED).all() and (label[:, 30:] == IGNORED).all()
    Part(1, 0, 40).hide(image, label, 60)  # a patch beside the part
    assert not image.any() and (label == IGNORED).all()
