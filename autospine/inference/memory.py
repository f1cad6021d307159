"""Memory that a prediction takes, from the shape of an image alone.

Nearly all are the scores (logits), one float32 for each voxel and class of the prepared case, which are held until the
tiles that overlap have been added up. The rest is the image, as it lies on disk and prepared:

    512 x 512 x 100, 24 classes and background     26.2 million voxels x (25 scores + 1 weight) x 4 bytes = 2.7 GB
                                                   image and some tiles at once                           + 0.5 GB
"""

from __future__ import annotations

from math import prod

from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration

SLICES_PER_BATCH = {"cpu": 4, "cuda": 32}
"""2D tiles that go through the network together at most: enough to keep the device busy. On a GPU no more than twice
the planned batch, so that prediction fits where training did."""
_FLOAT = 4
_DOUBLE = 8
_TILE_COPIES = 4
"""Scores of the tiles that a network computes at once: as they leave it, in float32, summed, and times the window."""
_LEVELS = 32
"""Bytes a voxel where pieces agree on their levels: a few maps of one class each."""
_RESTORED = 8
"""Bytes a voxel of the image's own grid on the way back: winners, interfaces and labels."""


def prediction_bytes(card: ModelCard, native: int, prepared: float) -> int:
    """Bytes that predicting a case takes at its peak, beside the program and the network.

    An upper bound of what is held of the case: an image that is partly black is cropped, which no header tells. What a
    network computes between its layers is not counted.

    Args:
        card: of the network.
        native: voxels of the image on disk.
        prepared: voxels of the image at the planned spacing.
    """
    configuration = card.configuration
    channels, classes = len(card.data.channels), configuration.network.out_channels
    preparing = (2 * channels * _FLOAT + 2 * _DOUBLE) * native + channels * _FLOAT * prepared
    scores = scores_bytes(configuration, prepared)
    tiles = tiles_together(configuration, "cpu") * _TILE_COPIES * classes * _FLOAT * prod(configuration.patch)
    levels = _LEVELS * prepared if card.data.levels is not None else 0
    predicting = channels * _FLOAT * prepared + scores + max(tiles, levels)
    restoring = channels * _FLOAT * prepared + scores + _RESTORED * native
    return int(max(preparing, predicting, restoring))


def scores_bytes(configuration: Configuration, prepared: float) -> float:
    """Bytes of the scores of so many voxels and of the weights that they are divided by."""
    return (configuration.network.out_channels + 1) * _FLOAT * prepared


def tiles_together(configuration: Configuration, device: str) -> int:
    """Tiles that go through a network at once on a `device` of this type, `cpu` or `cuda`."""
    if configuration.network.dimension == 3:
        return 1
    most = SLICES_PER_BATCH[device]
    return min(most, 2 * configuration.batch) if device == "cuda" else most
