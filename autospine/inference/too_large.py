"""Memory that a prediction takes, and whether there is room: refused at once where it could only fail or never end.

    tile     input, feature maps of the finest stage, output         at most what the device has
    case     image padded to the patch, logits and weights           at most what the machine has
    grid     voxels at the model's spacing, and tiles on them        at most what ends within days

All that refuses are lower bounds of what is really taken: nothing is refused that could have been done. What a user is
told beforehand is an upper bound. Nearly all are the scores (logits), one float32 for each voxel and class of the
prepared case, held until the tiles that overlap have been added up; the rest is the image, on disk and prepared:

    512 x 512 x 100, 24 classes and background     26.2 million voxels x (25 scores + 1 weight) x 4 bytes = 2.7 GB
                                                   image and some tiles at once                           + 0.5 GB
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from autospine.data.geometry import times
from autospine.errors import DataError, PlanError
from autospine.inference.window import tile_starts
from autospine.machine.device import device_memory_gb
from autospine.machine.memory import total_bytes
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.parts import NetworkPlan

MOST_TILES = 10**6
"""Of a case: at a hundred a second, hours. A patch of 16 voxels in a volume of 512 has some 250 000 (ours)."""
FINER, FINER_VOXELS = 1000.0, 2**24
"""Times as many voxels as a case has, and voxels, beyond which no prediction begins: ten times finer along each axis
is another kind of image, or a header whose spacing is in another unit (ours)."""
_FLOAT, _HALF, _DOUBLE = 4, 2, 8
"""Bytes of a number; images are interpolated in double precision, a channel at a time."""
SLICES_PER_BATCH = {"cpu": 4, "cuda": 32}
"""2D tiles that go through the network together at most: enough to keep the device busy. On a GPU no more than twice
the planned batch, so that prediction fits where training did."""
CACHE = 2**25
"""Bytes of features that a processor's last cache is taken to hold (32 MiB; that of one die of a server, ours). Slices
whose features go beyond it gain nothing by going together: 0.35 s of a core each for one of 224 x 224 and 32 features
alone, 0.38 s in fours; with 160 x 160 and 16 features, 0.044 s alone and 0.040 s in fours (AVX2, torch 2.13)."""
_TILE_COPIES = 4
"""Scores of the tiles that a network computes at once: as they leave it, in float32, summed, and times the window."""
_LEVELS = 32
"""Bytes a voxel where pieces agree on their levels: a few maps of one class each."""
_RESTORED = 8
"""Bytes a voxel of the image's own grid on the way back: winners, interfaces and labels."""
_REMEDY = "use a machine with more memory, or a model with a smaller patch"


def check_tile(configuration: Configuration, device: torch.device) -> None:
    """Nothing; raises `PlanError` where a single patch cannot go through the network on `device`."""
    network, voxels = configuration.network, prod(configuration.patch)
    needed = voxels * (_FLOAT * (network.in_channels + network.out_channels) + _HALF * _joined(network)) / 1e9
    most = device_memory_gb(device)
    if most is not None and needed > most:
        takes = f"a patch of {times(configuration.patch)} voxels takes {needed:.3g} GB or more"
        found = f"{takes}, {device} has {most:.3g} GB"
        raise PlanError(f"configuration {configuration.name}", found, "a patch that fits the device", _REMEDY)


def check_case(configuration: Configuration, channels: int, shape: Sequence[int], patch: Sequence[int]) -> None:
    """Nothing; raises `DataError` where a prepared case of `shape` (a0, a1, a2) cannot be held, or has too many tiles.

    `patch` has three edges, that of a slice being 1.
    """
    padded = [max(size, edge) for size, edge in zip(shape, patch, strict=True)]
    where = f"an image of {times(shape)} voxels, {configuration.name}"
    needed, most = _FLOAT * channels * prod(padded) + scores_bytes(configuration, prod(shape)), total_bytes()
    if most is not None and needed > most:
        takes = f"at least as large as a patch, {times(padded)} voxels, it takes {needed / 1e9:.3g} GB or more"
        raise DataError(where, f"{takes}; this machine has {most / 1e9:.3g} GB", "what fits the memory", _REMEDY)
    tiles = prod(len(tile_starts(size, edge, configuration.overlap)) for size, edge in zip(padded, patch, strict=True))
    if tiles > MOST_TILES:
        found = f"{tiles} tiles of {times(patch)} voxels that overlap by {configuration.overlap:g}"
        raise DataError(where, found, f"at most {MOST_TILES}", "let tiles overlap less, with --overlap")


def check_spacing(
    configuration: Configuration, shape: Sequence[int], spacing_mm: Sequence[float], channels: int, name: str
) -> None:
    """Nothing; raises `DataError` where the model's spacing would make a huge image of the case `name`.

    It has this `shape`, cropped to what is not zero, and `spacing_mm` along canonical (Z, Y, X).
    """
    planned = [spacing_mm[axis] for axis in configuration.axis_order][-len(configuration.spacing_mm) :]
    finer = prod(own / wanted for own, wanted in zip(planned, configuration.spacing_mm, strict=True))
    voxels, most = prod(shape) * finer, total_bytes()
    needed = voxels * (_FLOAT * channels + _DOUBLE)
    wanted = f"{' x '.join(f'{value:g}' for value in configuration.spacing_mm)} mm"
    made = f"the model's spacing of {wanted} would make {voxels:.3g} voxels of this image"
    remedy = "check the voxel size in the image's header, or use another model"
    if finer > FINER and voxels > FINER_VOXELS:
        expected = f"an image as fine as those that the model was trained on, with at least 1/{FINER:g} of the voxels"
        raise DataError(name, f"{made}, {finer:.3g} times what it has", expected, remedy)
    if most is not None and needed > most:
        found = f"{made}, which take {needed / 1e9:.3g} GB or more; this machine has {most / 1e9:.3g} GB"
        raise DataError(name, found, "an image that fits the memory", remedy)


def prediction_bytes(card: ModelCard, native: int, prepared: float) -> int:
    """Bytes that predicting a case takes at its peak, beside the program and the network.

    The image has `native` voxels on disk and `prepared` ones at the planned spacing; one that is partly black is
    cropped, which no header tells. What a network computes between its layers is not counted.
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
    if device == "cuda":
        return min(most, 2 * configuration.batch)
    return max(1, min(most, CACHE // (_FLOAT * _joined(configuration.network) * prod(configuration.patch))))


def _joined(network: NetworkPlan) -> int:
    """Channels of the finest stage at its widest: what is upsampled stands beside the skip."""
    return network.features[0] * (2 if len(network.features) > 1 else 1)
