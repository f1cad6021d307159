"""What enters the network, tile by tile: a volume of all input channels would be several times the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from torch import Tensor

from autospine.inference.window import Tile
from autospine.planning.document.model_card import ModelCard

_ZEROS: dict[str, Any] = {"mode": "constant", "kwargs": {"constant_values": 0}}


@dataclass(frozen=True)
class PaddedCase:
    """A prepared case, padded to a patch, from which what enters for a tile is laid out."""

    volume: Tensor
    """(C, a0, a1, a2), padded."""
    inner: Sequence[slice]
    """Where the case lies in it."""
    there: Tensor
    """1 or 0 for each channel that may be missing."""
    earlier: Tensor | None
    """Class indices of the previous stage, padded as the image is."""
    card: ModelCard

    @staticmethod
    def of(
        image: npt.NDArray[np.float32],
        missing: Sequence[int],
        earlier: npt.NDArray[np.uint8] | None,
        card: ModelCard,
        patch: tuple[int, int, int],
    ) -> PaddedCase:
        """That of an image (C, a0, a1, a2), 0 where it is `missing`, and of what the previous stage says of it."""
        padded, back = pad_nd_image(image, patch, return_slicer=True, **_ZEROS)
        # a case of the store is mapped read-only, which torch does not take
        volume, before = torch.from_numpy(np.require(padded, np.float32, ["C", "W"])), None
        if earlier is not None:
            before = torch.from_numpy(np.require(pad_nd_image(earlier, patch, **_ZEROS), np.uint8, ["C", "W"]))
        there = torch.tensor([float(channel not in missing) for channel in card.entering.optional])
        return PaddedCase(volume, back[1:], there, before, card)

    def batch(self, tiles: Sequence[Tile]) -> Tensor:
        """(tiles, in_channels, *patch), channels as `entering`; the last slice is repeated beyond, as in training."""
        return torch.stack([self._of_tile(tile) for tile in tiles])

    def _of_tile(self, tile: Tile) -> Tensor:
        """(in_channels, *patch)."""
        configuration = self.card.configuration
        if configuration.network.dimension == 2:
            middle, neighbours = tile[0].start, configuration.neighbours
            slices = torch.arange(middle - neighbours, middle + neighbours + 1).clamp(0, self.volume.shape[1] - 1)
            scan = self.volume[:, slices, tile[1], tile[2]].transpose(0, 1).flatten(0, 1)
        else:
            scan = self.volume[(slice(None), *tile)]
        if len(self.there):
            planes = self.there.to(scan.dtype).view(-1, *(1 for _ in scan.shape[1:])).expand(-1, *scan.shape[1:])
            scan = torch.cat((scan, planes))
        if self.earlier is None:
            return scan
        classes = torch.arange(1, self.card.data.classes + 1).view(-1, 1, 1, 1)
        return torch.cat((scan, (self.earlier[tile] == classes).to(scan.dtype)))
