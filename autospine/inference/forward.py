"""What trained networks say of tiles, averaged over all of them and over all mirrorings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autospine.inference.mirroring import Mirroring
from autospine.machine.precision import Precision, autocast


@dataclass(frozen=True)
class Forward:
    """Networks on a device, with the mirrorings that they are averaged over."""

    networks: Sequence[nn.Module]
    """In evaluation mode on `device`."""
    turns: Sequence[Mirroring]
    device: torch.device
    precision: Precision

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, *patch) -> (N, K, *patch) float32 on `device`."""
        inputs = inputs.to(self.device)
        summed: Tensor | None = None
        for turn in self.turns:
            turned = turn.turn(inputs)
            for network in self.networks:
                with autocast(self.device, self.precision):
                    logits = network(turned)[0].float()
                logits = turn.back(logits)
                summed = logits if summed is None else summed + logits
        assert summed is not None
        return summed / (len(self.turns) * len(self.networks))
