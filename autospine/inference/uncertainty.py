"""How far the members of a prediction disagree: the mutual information between them and what they say.

    member     a         b             entropy of the mean - mean of the entropies
    sure       1 0       1 0           0       - 0     = 0            they agree
    unsure     .5 .5     .5 .5         log 2   - log 2 = 0            they agree that it cannot be told
    split      1 0       0 1           log 2   - 0     = log 2        each is sure of something else

Members are folds and mirrorings. The measure is BALD's (Houlsby 2011, arXiv:1112.5745; Gal 2017, arXiv:1703.02910),
over the logarithm of the classes, so that it lies between 0 and 1. Regions are each yes or no, and their mean counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import log

import torch
from torch import Tensor


def with_disagreement(members: Iterable[Tensor], temperature: float, *, regions: bool) -> Tensor:
    """The mean of the members' logits (N, K, *patch), and beside it their disagreement: (N, K + 1, *patch).

    Logits are divided by `temperature` before they become probabilities. The mean is that of `Forward`, to the bit.
    """
    summed: Tensor | None = None
    chances, entropies, count = torch.zeros(()), torch.zeros(()), 0
    for logits in members:
        summed = logits if summed is None else summed + logits
        scaled = logits / temperature
        said = torch.sigmoid(scaled) if regions else torch.softmax(scaled, 1)
        chances, entropies, count = (
            chances.to(said.device) + said,
            entropies.to(said.device) + _entropy(said, regions),
            count + 1,
        )
    assert summed is not None
    shared = _entropy(chances / count, regions) - entropies / count
    # each rounded by itself, two equal entropies may differ by a little
    return torch.cat((summed / count, shared.clamp(0, 1)), 1)


def _entropy(chances: Tensor, regions: bool) -> Tensor:
    """Entropy of probabilities (N, K, *patch), at most 1: (N, 1, *patch)."""
    if regions:
        both = torch.special.entr(chances) + torch.special.entr(1 - chances)
        mean: Tensor = both.mean(1, keepdim=True) / log(2)
        return mean
    summed: Tensor = torch.special.entr(chances).sum(1, keepdim=True) / log(chances.shape[1])
    return summed
