"""Tiles of one number throughout: what a network says of such a tile is computed once, and is the same the next time.

Air around a body, slices that were left empty and what a case is padded with give such tiles. They cannot be left out:
what a network says of them depends on its biases, and is background only by training. But the same numbers through the
same network give the same answer to the bit, where each tile is computed by itself; in a batch they need not, and there
nothing is reused.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Network = Callable[[Tensor], tuple[Tensor, ...]]
"""Tiles (N, C, *patch) -> logits (N, K, *patch) first, as a `UNet` in evaluation mode gives them."""


class BlankOnce:
    """A network that computes each tile by itself, asked only once for tiles that are blank alike; for one thread."""

    def __init__(self, network: Network) -> None:
        """Nothing is known yet; only the answer to the last kind of blank tile is kept."""
        self._network = network
        self._values: Tensor | None = None
        self._answer: Tensor | None = None

    def __call__(self, tiles: Tensor) -> tuple[Tensor, ...]:
        """(N, C, *patch) -> (logits (N, K, *patch),)."""
        alone = tiles.flatten(2)
        low, high = torch.aminmax(alone, dim=2)
        blank = [bool(same) for same in (low == high).all(1)]
        if not any(blank):
            return self._network(tiles)
        rest = [index for index, same in enumerate(blank) if not same]
        logits = dict(zip(rest, self._network(tiles[rest])[0], strict=True)) if rest else {}
        said = [logits[i] if i in logits else self._of_blank(tiles[i : i + 1], low[i]) for i in range(len(tiles))]
        return (torch.stack(said),)  # a copy: who adds to it must not add to what is kept

    def _of_blank(self, tile: Tensor, values: Tensor) -> Tensor:
        """(K, *patch) of a tile (1, C, *patch) that has these `values` (C) throughout."""
        if self._answer is None or self._values is None or not torch.equal(self._values, values):
            self._values, self._answer = values, self._network(tile)[0][0]
        return self._answer
