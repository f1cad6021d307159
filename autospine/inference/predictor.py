"""Logits of a prepared case: sliding window, mirroring, the mean of several networks.

Everything here is arrays in, arrays out; no file is read. 2D configurations predict slice by slice along
the first planned axis, several slices to a batch. What enters beside the image (neighbouring slices, the previous
stage's classes) is laid out tile by tile: a volume of all input channels would be several times the image.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from torch import Tensor, nn

from autospine.errors import PlanError
from autospine.inference.levels import agree_on_levels
from autospine.inference.memory import tiles_together
from autospine.inference.room import check_case
from autospine.inference.window import blending_window, tile_starts
from autospine.machine.precision import Choice, Precision, autocast
from autospine.networks.precision import choose_precision
from autospine.planning.document.card import ModelCard
from autospine.planning.document.configuration import Configuration

Tile = tuple[slice, slice, slice]


@torch.inference_mode()
def predict_logits(
    networks: Sequence[nn.Module],
    image: npt.NDArray[np.float32],
    card: ModelCard,
    *,
    device: torch.device,
    mirror: bool = True,
    previous: npt.NDArray[np.uint8] | None = None,
    missing: Collection[int] = (),
    precision: Precision | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> npt.NDArray[np.float32]:
    """Mean logits of `networks` over all tiles and mirrorings, in which pieces agree on their levels (see `levels`).

    Args:
        networks: trained networks in evaluation mode on `device`.
        image: prepared case (C, a0, a1, a2), planned axes.
        card: the patch, overlap and mirror axes of its configuration are used, and what is known of levels and sides.
        device: where the networks are.
        mirror: average over all combinations of the plan's mirror axes.
        previous: the previous stage's class indices (a0, a1, a2), where the configuration takes them.
        missing: image channels, from 0, that the case lacks; they are 0 in `image`.
        precision: in which the networks compute; None: the faster one on this device.
        progress: called with (tiles done, tiles in all).

    Returns:
        (K, a0, a1, a2) float32, K = background + classes.

    Raises:
        PlanError: the machine has no room for the case (see `room`), or what comes out is not finite.
    """
    configuration, levels = card.configuration, card.data.levels
    if (previous is None) != (configuration.previous is None):
        raise ValueError(f"{configuration.name} takes {configuration.previous} as its previous stage")
    precision = precision or prediction_precision(configuration, device).precision
    flat = configuration.network.dimension == 2
    patch = (1, *configuration.patch) if flat else configuration.patch
    check_case(configuration, len(image), image.shape[1:], patch)
    zeros: dict[str, Any] = {"mode": "constant", "kwargs": {"constant_values": 0}}
    padded, back = pad_nd_image(image, patch, return_slicer=True, **zeros)
    axes = configuration.training.mirror_axes if mirror else ()
    shape = padded.shape[1:]
    inner = back[1:]
    # a case of the store is mapped read-only, which torch does not take
    volume = torch.from_numpy(np.require(padded, np.float32, ["C", "W"]))
    earlier = None
    if previous is not None:
        earlier = torch.from_numpy(np.require(pad_nd_image(previous, patch, **zeros), np.uint8, ["C", "W"]))
    there = torch.tensor([channel not in missing for channel in card.entering.optional], dtype=torch.float32)
    window = torch.from_numpy(blending_window(patch)).to(device)
    # of the case alone: what was put around it would have to be cut off, and a cut copies all classes once more
    total = torch.zeros((configuration.network.out_channels, *image.shape[1:]), dtype=torch.float32)
    weight = torch.zeros(image.shape[1:], dtype=torch.float32)

    tiles = list(_tiles(shape, patch, configuration.overlap))
    together = tiles_together(configuration, device.type)
    for first in range(0, len(tiles), together):
        group = tiles[first : first + together]
        batch = torch.stack([_network_input(volume, there, earlier, tile, card) for tile in group]).to(device)
        logits = _mean_logits(networks, batch, axes, device, card, precision)
        logits = logits[:, :, None] if flat else logits
        for tile, values in zip(group, logits * window, strict=True):
            place, part = _within(tile, inner)
            total[(slice(None), *place)] += values.cpu()[(slice(None), *part)]
            weight[place] += window.cpu()[part]
        progress(min(first + together, len(tiles)), len(tiles))
    total /= weight
    if not all(torch.isfinite(end) for end in torch.aminmax(total)):
        found = "NaN or infinite numbers in the output of the network"
        remedy = "use other weights; where large numbers overflow in float16 alone, predict with --device cpu"
        raise PlanError(f"configuration {configuration.name}", found, "finite numbers", remedy)
    logits_of_case: npt.NDArray[np.float32] = total.numpy()
    if levels is None:
        return logits_of_case
    return agree_on_levels(logits_of_case, levels, configuration.axis_order.index(levels.axis))


def prediction_precision(configuration: Configuration, device: torch.device) -> Choice:
    """The precision in which networks of `configuration` predict faster on `device`."""
    together = replace(configuration, batch=tiles_together(configuration, device.type))
    return choose_precision(together, device, training=False)


def _tiles(shape: tuple[int, ...], patch: tuple[int, ...], overlap: float) -> Iterator[Tile]:
    """The tiles of a volume, in order."""
    starts = [tile_starts(size, edge, overlap) for size, edge in zip(shape, patch, strict=True)]
    for z, y, x in itertools.product(*starts):
        yield slice(z, z + patch[0]), slice(y, y + patch[1]), slice(x, x + patch[2])


def _within(tile: Tile, inner: Sequence[slice]) -> tuple[Tile, Tile]:
    """Where a tile of the padded volume lies in the case, whose place in it is `inner`; and which part of it does."""
    spans = [
        (max(one.start, case.start), min(one.stop, case.stop), one.start, case.start)
        for one, case in zip(tile, inner, strict=True)
    ]
    z, y, x = (slice(low - case, high - case) for low, high, _, case in spans)
    a, b, c = (slice(low - start, high - start) for low, high, start, _ in spans)
    return (z, y, x), (a, b, c)


def _network_input(volume: Tensor, there: Tensor, previous: Tensor | None, tile: Tile, card: ModelCard) -> Tensor:
    """What the network takes for a tile, (in_channels, *patch) in the order that the plan gives its channels.

    `there` (n,) is 1 or 0 for each channel that may be missing.
    Beyond the ends of the case its last slice stands for the neighbours that are missing, as in training.
    """
    if card.configuration.network.dimension == 2:
        middle, neighbours = tile[0].start, card.configuration.neighbours
        slices = torch.arange(middle - neighbours, middle + neighbours + 1).clamp(0, volume.shape[1] - 1)
        scan = volume[:, slices, tile[1], tile[2]].transpose(0, 1).flatten(0, 1)
    else:
        scan = volume[(slice(None), *tile)]
    if len(there):
        planes = there.to(scan.dtype).view(-1, *(1 for _ in scan.shape[1:])).expand(-1, *scan.shape[1:])
        scan = torch.cat((scan, planes))
    if previous is None:
        return scan
    classes = torch.arange(1, card.data.classes + 1).view(-1, 1, 1, 1)
    return torch.cat((scan, (previous[tile] == classes).to(scan.dtype)))


def _mean_logits(
    networks: Sequence[nn.Module],
    inputs: Tensor,
    axes: tuple[int, ...],
    device: torch.device,
    card: ModelCard,
    precision: Precision,
) -> Tensor:
    """(N, in_channels, *patch) -> (N, K, *patch) float32, averaged over networks and mirrorings.

    Mirrored from right to left, sides swap: in what enters of a previous stage, and in what comes out.
    """
    across, entering, swapped = card.sides_axis, list(card.entering.mirrored), list(card.data.swapped)
    flips = [
        tuple(axis + 2 for axis in chosen)
        for count in range(len(axes) + 1)
        for chosen in itertools.combinations(axes, count)
    ]
    summed: Tensor | None = None
    for flip in flips:
        turned = across is not None and across + 2 in flip
        flipped = inputs.flip(flip) if flip else inputs
        flipped = flipped[:, entering] if turned else flipped
        for network in networks:
            with autocast(device, precision):
                logits = network(flipped)[0].float()
            logits = logits.flip(flip) if flip else logits
            logits = logits[:, swapped] if turned else logits
            summed = logits if summed is None else summed + logits
    assert summed is not None
    return summed / (len(flips) * len(networks))
