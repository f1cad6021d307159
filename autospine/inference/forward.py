"""What trained networks say of tiles, averaged over all of them and over all mirrorings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autospine.inference.engines.blank import Network
from autospine.inference.mirroring import Mirroring
from autospine.machine.precision import Precision, autocast


@dataclass(frozen=True)
class Forward:
    """Networks on a device, with the mirrorings that they are averaged over."""

    networks: Sequence[Network]
    """In evaluation mode on `device`."""
    turns: Sequence[Mirroring]
    device: torch.device
    precision: Precision

    def __call__(self, inputs: Tensor) -> Tensor:
        """(N, in_channels, *patch) -> (N, K, *patch) float32 on `device`."""
        members = self.members(inputs)
        summed = next(members)
        if self.count == 1:
            return summed
        summed = summed + next(members)  # into a tensor of its own, which may be changed from here on
        for logits in members:
            summed += logits
        return summed.div_(self.count)

    @property
    def count(self) -> int:
        """Members that the mean is of: each network with each mirroring."""
        return len(self.turns) * len(self.networks)

    def members(self, inputs: Tensor) -> Iterator[Tensor]:
        """What each says: (N, K, *patch) float32 on `device`, turned back."""
        inputs = inputs.to(self.device)
        for turn in self.turns:
            turned = turn.turn(inputs)
            for network in self.networks:
                with autocast(self.device, self.precision):
                    logits = network(turned)[0].float()
                yield turn.back(logits)
