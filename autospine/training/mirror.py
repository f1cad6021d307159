"""Mirrors training patches: half of the samples along each axis that the plan allows.

Mirrored from right to left, the sides of a body swap: a left kidney becomes a right one, in the label and in the
channels of a previous stage. Draws are numpy's global ones (`intensity.seeded`), as batchgenerators' `MirrorTransform`
makes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.structure import IGNORED
from autospine.planning.document.model_card import ModelCard

P_MIRROR = 0.5


class Mirroring:
    """Mirrors whole batches."""

    def __init__(self, card: ModelCard) -> None:
        """Along the axes that `card` allows."""
        self._sides = card.sides_axis
        self._axes = sorted(axis for axis in card.configuration.training.mirror_axes if axis != self._sides)
        self._channels = list(card.entering.mirrored)
        # what is no class stays what it is
        self._classes = np.arange(IGNORED + 1, dtype=np.uint8)
        self._classes[: len(card.data.swapped)] = card.data.swapped

    def __call__(
        self, images: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], *sizes: npt.NDArray[np.float32]
    ) -> None:
        """Change images (B, in_channels, *patch), labels (B, *patch) and sizes of components alike, in place."""
        if self._axes:
            for sample in zip(images, labels, *sizes, strict=True):
                np.random.uniform()  # the transform's own: whether a sample may be mirrored, which each may
                for axis in self._axes:
                    if np.random.uniform() < P_MIRROR:
                        _flip(sample, axis, labels.ndim - 1)
        if self._sides is not None:
            for image, label, *rest in zip(images, labels, *sizes, strict=True):
                if np.random.uniform() < P_MIRROR:
                    _flip((image, label, *rest), self._sides, label.ndim)
                    image[...], label[...] = image[self._channels], self._classes[label]


def _flip(sample: tuple[npt.NDArray[Any], ...], axis: int, dimension: int) -> None:
    """Mirror what is there of a sample along an axis of its patch, which has so many, in place."""
    for array in sample:
        array[...] = np.flip(array, axis - dimension)
