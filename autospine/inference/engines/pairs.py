"""Slices that torch never computes alone.

For a single small slice torch takes another way than for several, whose sums round otherwise (logits differ by 1e-5;
torch 2.13). Which slices go together depends on the strips that a case is gone through in and on the memory there is,
and labels must not. Two and more give the same numbers to the bit. Where a case is one tile, nothing goes beside it.
"""

from __future__ import annotations

from torch import Tensor

from autospine.inference.engines.blank import Network


def never_alone(network: Network) -> Network:
    """The `network`, which computes a tile that comes alone twice, side by side."""

    def computed(tiles: Tensor) -> tuple[Tensor, ...]:
        if len(tiles) != 1:
            return network(tiles)
        return (network(tiles.expand(2, *tiles.shape[1:]))[0][:1],)

    return computed
