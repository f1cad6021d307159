"""Where the patches of a batch come from: which voxel each begins at.

    forced samples   the last of a batch, as many as the plan's share rounds to (that share of the batches of one):
                     centred, give or take the plan's jitter, on a random voxel of a random class of the case, or of
                     a random connected component of that class where the plan goes by components
    the others       uniformly inside the case, or beside it by no more than the plan's shift

What is read there is the `reader`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import triple
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import StoredCase

Voxel = npt.NDArray[np.int64]
"""(3,) indices of a voxel, which may lie outside its case."""


@dataclass(frozen=True)
class LocationSampler:
    """Draws the locations of patches."""

    configuration: Configuration
    shifted: bool
    """Whether patches may lie beside their case: in training, not where it is judged."""

    def draw_forced(self, rng: np.random.Generator) -> list[bool]:
        """Whether each sample of a batch is forced to show a class."""
        size, share = self.configuration.batch, self.configuration.training.oversample_foreground
        # a batch of one would be forced always or never
        free = round(size * (1 - share)) if size > 1 else int(rng.random() >= share)
        return [index >= free for index in range(size)]

    def draw_start(self, rng: np.random.Generator, case: StoredCase, *, forced: bool) -> Voxel:
        """The first voxel of a patch of `case`."""
        shape, patch = np.array(case.label.shape), np.array(planned_patch(self.configuration))
        low, high = starts(shape, patch, self.configuration.training.shift if self.shifted else 0.0)
        start = rng.integers(low, high + 1)
        if not forced or not case.locations:
            return start
        centre = self._draw_centre(rng, case)
        middle = patch // 2 + self._draw_jitter(rng, patch)
        start = np.where(shape > patch, np.clip(centre - middle, low, high), start)
        # it holds its voxel, and in 2D is the voxel's slice
        clipped: Voxel = np.clip(start, centre - patch + 1, centre)
        return clipped

    def _draw_centre(self, rng: np.random.Generator, case: StoredCase) -> Voxel:
        """A voxel of a class that the case has."""
        value = sorted(case.locations)[int(rng.integers(len(case.locations)))]
        voxels = case.locations[value]
        if self.configuration.training.foreground_unit == "component":
            component = int(rng.integers(len(case.offsets[value]) - 1))
            first, end = case.offsets[value][component : component + 2]
            voxels = voxels[first:end]
        centre: Voxel = voxels[int(rng.integers(len(voxels)))]
        return centre

    def _draw_jitter(self, rng: np.random.Generator, patch: npt.NDArray[Any]) -> Voxel:
        """How far from the middle of a forced patch its voxel lies, in voxels.

        Where the patch is far smaller than the image and the class is always in its middle, a network learns to look
        for it there alone, and misses it in a tile of the sliding window that has it at its side.
        """
        share = self.configuration.training.foreground_jitter
        if share == 0:
            return np.zeros(3, np.int64)
        reach = share * (patch - 1) / 2
        return np.rint(rng.uniform(-reach, reach)).astype(np.int64)


def planned_patch(configuration: Configuration) -> tuple[int, int, int]:
    """The patch on three axes: a 2D patch is one slice thick."""
    return triple((1, *configuration.patch)[-3:])


def starts(shape: npt.NDArray[Any], patch: npt.NDArray[Any], shift: float) -> tuple[Voxel, Voxel]:
    """First and last voxel at which a patch may begin: within the case, or with a smaller case in its middle.

    Where a patch has less room than `shift` of its edge to either side, it may be off the case by the rest.
    """
    room = shape - patch
    slack = np.where(patch > 1, np.rint(shift * patch), 0)
    out = np.maximum(slack - np.maximum(room, 0), 0)
    low, high = np.where(room >= 0, 0, room // 2), np.where(room >= 0, room, room // 2)
    return (low - out).astype(np.int64), (high + out).astype(np.int64)
