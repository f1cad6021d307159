"""Narrow views: of some samples only a part along the column is shown, where another scan would show it.

    a case      another scan of it      a scanner's field of view ends where the operator wants it to, and what lies in
     T12                                its middle may be any level. A network that has only seen whole columns knows
     L1             L1                  levels by their place in the image: it calls the last vertebra of any view L5,
     L2     --->    L2                  and is sure of it. Here the part stands in the middle of the patch, as it would
     L3             L3                  if the image were no more than that; what is left to go by is the anatomy, and
     L4                                 where that does not tell, the network learns to doubt.
     L5

Ours; random crops of the view are also among the augmentations of TotalSpineSeg and AugLab (Neuropoly).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from autospine.data.structure import IGNORED
from autospine.preprocessing.store import StoredCase
from autospine.training.sampler import Voxel

LEAST_SHOWN, MOST_SHOWN = 0.15, 0.8
"""Share of a case's length that is shown: of 32 cm they are 5 cm, one lumbar vertebra and a half, to 26 cm."""


@dataclass(frozen=True)
class Part:
    """Rows of a case along its column."""

    axis: int
    first: int
    end: int

    @staticmethod
    def draw(rng: np.random.Generator, case: StoredCase, axis: int) -> Part:
        """A random part, around a voxel of a label where the case has any: its length first, then its place."""
        rows = case.label.shape[axis]
        length = max(1, round(rows * float(rng.uniform(LEAST_SHOWN, MOST_SHOWN))))
        if case.locations:
            held = case.locations[sorted(case.locations)[int(rng.integers(len(case.locations)))]]
            middle = int(held[int(rng.integers(len(held)))][axis])
            first = middle - int(rng.integers(length))
        else:
            first = int(rng.integers(rows - length + 1))
        first = min(max(first, 0), rows - length)
        return Part(axis, first, first + length)

    def place(self, start: Voxel, patch: int, rng: np.random.Generator) -> Voxel:
        """The first voxel of a patch of so many rows that shows the part, in its middle where it is shorter."""
        placed, room = start.copy(), self.end - self.first - patch
        placed[self.axis] = self.first + (int(rng.integers(room + 1)) if room > 0 else room // 2)
        return placed

    def hide(self, image: Tensor, label: Tensor, start: int) -> None:
        """Show the part alone, in a patch whose first row is `start`; in place.

        Args:
            image: (C, *patch), which becomes 0 beside the part.
            label: (*patch) class indices, which become `IGNORED` there.
            start: of the patch along the axis.
        """
        rows = label.shape[self.axis]
        low, high = (min(max(edge - start, 0), rows) for edge in (self.first, self.end))
        for first, end in ((0, low), (high, rows)):
            image.narrow(1 + self.axis, first, end - first).zero_()
            label.narrow(self.axis, first, end - first).fill_(IGNORED)
