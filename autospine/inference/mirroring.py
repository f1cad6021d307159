"""The mirrorings that a prediction is averaged over."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import Tensor

from autospine.planning.document.model_card import ModelCard


@dataclass(frozen=True)
class Mirroring:
    """One combination of mirrored axes.

    Mirrored from right to left, sides swap: in what enters of a previous stage, and in what comes out.
    """

    axes: tuple[int, ...]
    """Of a batch (N, C, *patch)."""
    entering: tuple[int, ...] | None = None
    """Which channel enters in the place of each; None: each in its own."""
    leaving: tuple[int, ...] | None = None
    """Which output stands in the place of each; None: each in its own."""

    def turn(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, *patch), mirrored."""
        turned = inputs.flip(self.axes) if self.axes else inputs
        return turned if self.entering is None else turned[:, list(self.entering)]

    def back(self, logits: Tensor) -> Tensor:
        """(N, K, *patch) of mirrored inputs, as they are of the inputs themselves."""
        turned = logits.flip(self.axes) if self.axes else logits
        return turned if self.leaving is None else turned[:, list(self.leaving)]


def mirrorings(card: ModelCard, mirror: bool) -> tuple[Mirroring, ...]:
    """All combinations of the plan's mirror axes, none of them first; without `mirror` that alone."""
    axes = card.configuration.training.mirror_axes if mirror else ()
    swap = card.entering.mirrored, card.data.swapped
    return tuple(
        Mirroring(tuple(axis + 2 for axis in flipped), *(swap if card.sides_axis in flipped else ()))
        for count in range(len(axes) + 1)
        for flipped in itertools.combinations(axes, count)
    )
