"""Mirrors training patches: half of the samples along each axis that the plan allows.

Mirrored from right to left, the sides of a body swap: a left kidney becomes a right one, in the label and in the
channels of a previous stage.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
        self._classes = torch.arange(IGNORED + 1, dtype=torch.uint8)
        self._classes[: len(card.data.swapped)] = torch.tensor(card.data.swapped, dtype=torch.uint8)

    def __call__(self, rng: np.random.Generator, images: Tensor, labels: Tensor, *sizes: Tensor) -> None:
        """Change images (B, in_channels, *patch), labels (B, *patch) uint8 and sizes of components alike, in place."""
        dimension = labels.ndim - 1
        for image, label, *rest in zip(images, labels, *sizes, strict=True):
            turned = [axis - dimension for axis in self._axes if rng.random() < P_MIRROR]
            swapped = self._sides is not None and rng.random() < P_MIRROR
            if swapped and self._sides is not None:
                turned.append(self._sides - dimension)
            if turned:
                for array in (image, label, *rest):
                    array.copy_(array.flip(turned))
            if swapped:
                image.copy_(image[self._channels])
                label.copy_(self._classes.to(label.device)[label.long()])
