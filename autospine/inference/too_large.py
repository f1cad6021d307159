"""Memory that a prediction takes, whether there is room, and in how many strips it finds room.

    tile     input, feature maps of the finest stage, output         at most what the device has
    case     image padded to the patch, scores of the open rows      at most what the machine has
    grid     voxels at the model's spacing, and tiles on them        at most what ends within days

All that refuses is a lower bound of what is really taken: nothing is refused that could have been done. What a user is
told beforehand, and what `--memory` is held by, is an upper bound. Scores are held of the rows alone that tiles still
to come may reach, and of the columns of a strip; the rest is the image, on disk and prepared:

    400 x 512 x 512, 24 classes and background, patch 128 x 128 x 128, in 3 strips
        scores     128 rows x 172 columns x 512 x (25 + 1 weight) x 4 bytes      1.2 GB
        image      105 million voxels x 4 bytes                                  0.4 GB
        classes    105 million voxels x 1 byte                                   0.1 GB
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import torch

from autospine.data.geometry import times, triple
from autospine.errors import DataError, PlanError
from autospine.inference.rows import SLAB_BYTES
from autospine.inference.window import tile_count
from autospine.machine.device import device_memory_gb
from autospine.machine.memory import total_bytes
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.parts import NetworkPlan
from autospine.preprocessing.memory import preparing_bytes
from autospine.preprocessing.resample_labels import BLOCK_VOXELS, PIECE_VOXELS

MOST_TILES = 10**6
"""Of a case: at a hundred a second, hours. A patch of 16 voxels in a volume of 512 has some 250 000 (ours)."""
MOST_STRIPS = 64
"""Of a case. In more, nearly every tile would be computed as often as there are strips that it reaches into (ours)."""
FINER, FINER_VOXELS = 1000.0, 2**24
"""Times as many voxels as a case has, and voxels, beyond which no prediction begins: ten times finer along each axis
is another kind of image, or a header whose spacing is in another unit (ours)."""
_FLOAT, _HALF, _DOUBLE, _NUMBER = 4, 2, 8, 4
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
_MEMBER_COPIES = 4
"""Beside them, where members are compared: probabilities, scaled scores, their sum and terms of the entropy."""
_MAPS = 8
"""Maps of the finest stage that a network holds at once beside its skips: of a layer what enters and what leaves, as it
computes and as its library wants it. Of 64 x 64 x 64 voxels and 32 features nine were seen, skips included (torch 2.13,
oneDNN, one thread)."""
_BLOCKED = 8
"""Channels that oneDNN computes at once; others it lays out as columns first, each voxel with its neighbours, once for
every place of the kernel (seen with 4 features in 3D: 0.23 GB for a patch of 64 x 64 x 64; with 8: none)."""
_LEVELS = 12
"""Bytes a voxel where pieces agree on their levels: which voxels are of any, of which, and what is known of these."""
_RESTORED = 8
"""Bytes a voxel of the image's own grid on the way back: class indices on three grids and label values."""
_COMPONENTS = 14
"""Bytes a voxel where components are removed: which one it is of, what touches it, what it was and becomes."""
NUMBERED = 48
"""Bytes a voxel where vertebrae are numbered: which is nearest to each, on two grids (ours; the box around them may be
as large as the image)."""
_PIECE = 16
"""Bytes a voxel of a piece that is made into classes: winners, interfaces and their indices."""
_BLOCK = 500
"""Bytes a voxel of a block of interfaces: its neighbours, their weights and what is interpolated from them."""
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
    least = open_bytes(configuration, shape, most_strips(configuration, shape))
    needed, most = _FLOAT * channels * prod(padded) + least, total_bytes()
    if most is not None and needed > most:
        takes = f"at least as large as a patch, {times(padded)} voxels, it takes {needed / 1e9:.3g} GB or more"
        raise DataError(where, f"{takes}; this machine has {most / 1e9:.3g} GB", "what fits the memory", _REMEDY)
    tiles = prod(tile_count(size, edge, configuration.overlap) for size, edge in zip(padded, patch, strict=True))
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


@dataclass(frozen=True)
class Asked:
    """What is predicted, as far as memory goes."""

    card: ModelCard
    native: int
    """Voxels of the image on disk."""
    prepared: tuple[int, int, int]
    """Voxels at the planned spacing, in planned order; one that is partly black has fewer, which no header tells."""
    device: str = "cpu"
    """Its type: what a GPU computes between its layers is not in the machine's memory."""
    networks: int = 1
    """That are averaged: each keeps its answer to blank tiles."""
    probabilities: bool = False
    stored: bool = False
    """Whether probabilities stay in memory."""
    uncertainty: bool = False
    postprocessed: bool = False
    instances: bool = False

    @property
    def outputs(self) -> int:
        """Channels that are blended: the network's, and the members' disagreement."""
        return self.card.configuration.network.out_channels + self.uncertainty


@dataclass(frozen=True)
class Way:
    """How a case is gone through, so that its scores find room."""

    strips: int
    on_disk: bool = False
    """Whether scores that have to be kept are kept in a file."""


def prediction_bytes(asked: Asked, way: Way) -> int:
    """Bytes that predicting a case takes at its peak, beside the program and the network's weights."""
    held = image_bytes(asked)
    preparing = preparing_bytes(asked.card.configuration, asked.native, prod(asked.prepared))
    restored = (_RESTORED + _COMPONENTS * asked.postprocessed + NUMBERED * asked.instances) * asked.native
    restored += _NUMBER * prod(asked.prepared) * (asked.card.data.levels is not None)  # which vertebra a voxel is of
    return int(max(preparing, held + predicting_bytes(asked, way), held + restored))


def image_bytes(asked: Asked) -> int:
    """Bytes of a prepared image, padded to the patch, and of what a cascade's previous stage says of it."""
    configuration = asked.card.configuration
    padded = prod(max(pair) for pair in zip(asked.prepared, _patch(configuration), strict=True))
    own = prod(asked.prepared)
    channels = len(asked.card.data.channels)
    earlier = (padded if padded > own else 0) + own if configuration.previous else 0
    return _FLOAT * channels * (own + (padded if padded > own else 0)) + earlier


def predicting_bytes(asked: Asked, way: Way) -> float:
    """Bytes that a prepared case takes while its tiles go through the network, beside the image."""
    card, configuration, voxels = asked.card, asked.card.configuration, prod(asked.prepared)
    finer = max(1.0, asked.native / voxels)
    row = asked.prepared[1] * asked.prepared[2] * finer
    made = float(asked.native * (1 + asked.uncertainty * _FLOAT))
    if asked.probabilities:
        made += 4 * _FLOAT * asked.outputs * row
        made += _HALF * configuration.network.out_channels * asked.native if asked.stored else 0
    pieces = _PIECE * min(asked.native, max(PIECE_VOXELS, row)) + 2 * _FLOAT * asked.outputs * row
    pieces += _BLOCK * min(asked.native, BLOCK_VOXELS)
    scores = open_bytes(configuration, asked.prepared, way.strips, asked.outputs - configuration.network.out_channels)
    computed = network_bytes(configuration, asked.device, asked.uncertainty)
    if asked.device == "cpu":
        made += asked.networks * _FLOAT * configuration.network.out_channels * prod(configuration.patch)
    if card.data.levels is None:
        return made + scores + max(computed, pieces)  # pieces are made while no tile is in the network
    kept = 2 * SLAB_BYTES if way.on_disk else _FLOAT * asked.outputs * voxels
    return made + kept + max(scores + computed, _LEVELS * voxels + pieces)  # and here, once all tiles are done


def open_bytes(configuration: Configuration, shape: Sequence[int], strips: int, more: int = 0) -> int:
    """Bytes of the scores of the rows that are open at once, of the columns of a strip, and of their weights.

    `shape` is that of the prepared case (a0, a1, a2); `more` are outputs beside the network's.
    """
    rows = tiles_together(configuration, "cpu") if configuration.network.dimension == 2 else configuration.patch[0]
    columns = min(shape[1], -(-shape[1] // strips) + 1)
    return (configuration.network.out_channels + more + 1) * _FLOAT * min(shape[0], rows) * columns * shape[2]


def network_bytes(configuration: Configuration, device: str, members: bool = False) -> float:
    """Bytes of what a network computes of the tiles that go together: on a CPU its maps, everywhere their scores."""
    together, voxels = tiles_together(configuration, "cpu"), prod(configuration.patch)
    copies = _TILE_COPIES + _MEMBER_COPIES * members
    scores = configuration.network.out_channels * copies * voxels
    if device != "cpu":
        return together * _FLOAT * scores
    network, skips, size = configuration.network, 0.0, float(voxels)
    for features, stride in zip(network.features, network.strides, strict=True):
        size /= prod(stride)
        skips += features * size
    finest = voxels / prod(network.strides[0])
    maps = _MAPS * network.features[0] * finest
    if network.features[0] % _BLOCKED:
        maps += prod(network.kernels[0]) * _joined(network) * finest
    return together * _FLOAT * (network.in_channels * voxels + max(scores, skips + maps) + scores / 2)


def most_strips(configuration: Configuration, shape: Sequence[int]) -> int:
    """Strips into which a prepared case of this `shape` is cut at most: from one to the next there is a tile."""
    return min(shape[1], tile_count(shape[1], _patch(configuration)[1], configuration.overlap), MOST_STRIPS)


def find_way(asked: Asked, needed: Callable[[Way], float], available: float) -> Way:
    """The way with the fewest strips for which what is `needed` is `available`; where there is none, the last.

    A tile that reaches into two strips is computed twice, so that a file for the scores comes first.
    """
    disks = (False, True) if asked.card.data.levels is not None else (False,)
    way = Way(1)
    for strips in range(1, most_strips(asked.card.configuration, asked.prepared) + 1):
        for on_disk in disks:
            way = Way(strips, on_disk)
            if needed(way) <= available:
                return way
    return way


def _patch(configuration: Configuration) -> tuple[int, int, int]:
    """Three edges, that of a slice being 1."""
    return triple((1, *configuration.patch)[-3:])


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
