"""Random intensities of training patches, with the transforms, ranges and probabilities of nnU-Net 2.8.1.

    noise 0.1, blur 0.2, brightness 0.15, contrast 0.15, low resolution 0.25, gamma inverted 0.1, gamma 0.3

They are applied to tensors, on any device; what is drawn comes from numpy's generator and is the same on each, but for
the noise itself.

The slices of a 2.5d sample are one acquisition: coil gain, contrast, point spread and matrix size are the scanner's
and the same in all of them, so brightness, contrast, gamma, blur and low resolution are drawn once per image channel,
their statistics taken over its slices, and nothing is mixed across slices, which are excited one by one. Noise has one
level and is drawn anew in every voxel, as it is in the receiver.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from autospine.planning.document.model_card import ModelCard

P_NOISE, NOISE = 0.1, (0.0, 0.1)
"""Of noise the standard deviation, which the reference calls a variance."""
P_BLUR, BLUR_SIGMA = 0.2, (0.5, 1.0)
P_BRIGHTNESS, P_CONTRAST, FACTOR = 0.15, 0.15, (0.75, 1.25)
P_LOW_RESOLUTION, LOW_RESOLUTION_ZOOM = 0.25, (0.5, 1.0)
P_PER_CHANNEL = 0.5
"""Of blur and low resolution, once a sample has been chosen for them."""
P_GAMMA_INVERTED, P_GAMMA, GAMMA = 0.1, 0.3, (0.7, 1.5)
_LEAST = 1e-7
"""Of a range or a spread that something is divided by."""


class IntensityAugmentation:
    """Noise, blur, brightness, contrast, low resolution and gamma of a whole batch."""

    def __init__(self, card: ModelCard) -> None:
        """Of the scans that enter the network of `card`."""
        configuration, self._entering = card.configuration, card.entering
        self._slices_apart = self._entering.slices > 1
        """Whether nothing is mixed along the first of three axes."""
        # a coarse first axis has no resolution to lose
        self._coarse = configuration.network.dimension == 3 and configuration.training.rotate_in_plane

    def __call__(self, images: Tensor, rng: np.random.Generator) -> None:
        """Change the scans of images (B, in_channels, *patch), float32, in place."""
        entering = self._entering
        for image in images:
            scans = image[entering.scan]
            if entering.slices > 1:
                # (S * C, ...) -> (C, S, ...): what is drawn per channel is then drawn once for its slices
                scans = scans.unflatten(0, (entering.slices, entering.images)).transpose(0, 1)
            self._change(list(scans), rng)

    def _change(self, channels: list[Tensor], rng: np.random.Generator) -> None:
        """The channels of one sample, each with two or three axes, in place."""
        if rng.random() < P_NOISE:
            level, seed = rng.uniform(*NOISE), int(rng.integers(2**31))
            add_noise(channels, level, seed)
        if rng.random() < P_BLUR:
            for channel in _chosen(channels, rng):
                first = int(self._slices_apart)
                sigmas = [0.0] * first + [rng.uniform(*BLUR_SIGMA) for _ in channel.shape[first:]]
                channel.copy_(blur(channel, sigmas))
        if rng.random() < P_BRIGHTNESS:
            for channel in channels:
                channel.mul_(_around_one(FACTOR, rng))
        if rng.random() < P_CONTRAST:
            for channel in channels:
                change_range(channel, _around_one(FACTOR, rng))
        if rng.random() < P_LOW_RESOLUTION:
            for channel in _chosen(channels, rng):
                kept = self._slices_apart or self._coarse
                channel.copy_(coarsen(channel, rng.uniform(*LOW_RESOLUTION_ZOOM), first_kept=kept))
        for chance, inverted in ((P_GAMMA_INVERTED, True), (P_GAMMA, False)):
            if rng.random() < chance:
                for channel in channels:
                    change_gamma(channel, _around_one(GAMMA, rng), inverted=inverted)


def add_noise(channels: list[Tensor], level: float, seed: int) -> None:
    """Add normal noise of this standard deviation to each, in place."""
    generator = torch.Generator(channels[0].device).manual_seed(seed)
    for channel in channels:
        noise = torch.empty_like(channel, memory_format=torch.contiguous_format)
        channel.add_(noise.normal_(0, level, generator=generator))


def blur(image: Tensor, sigmas: list[float]) -> Tensor:
    """`image` (..., rows, columns) under a Gaussian, mirrored at its edges: of each axis its standard deviation.

    Each axis is one product with a small matrix, which on a CPU is faster than a convolution with so few channels.
    """
    for axis, sigma in enumerate(sigmas):
        if sigma:
            kernel = torch.from_numpy(_gaussian(image.shape[axis], sigma)).to(image.device)
            image = _along(kernel, image, axis)
    return image


def change_range(image: Tensor, factor: float) -> None:
    """Spread the greys about their mean by `factor`, in place; least and greatest stay the limits."""
    least, greatest = torch.aminmax(image)
    mean = image.mean()
    image.mul_(factor).add_(mean * (1 - factor)).clamp_(least, greatest)


def coarsen(image: Tensor, zoom: float, *, first_kept: bool) -> Tensor:
    """As an image (*patch) with so many voxels fewer along each axis: the nearest are kept, the others linear.

    The first of three axes is left alone where it is `first_kept`.
    """
    flat = image.ndim == 2 or first_kept
    edges = image.shape[-2:] if flat else image.shape
    entering = image.reshape(1, -1, *edges) if flat else image[None, None]
    fewer = [max(1, round(edge * zoom)) for edge in edges]
    small = functional.interpolate(entering, fewer, mode="nearest-exact")
    return functional.interpolate(small, edges, mode="bilinear" if flat else "trilinear").view(image.shape)


def change_gamma(image: Tensor, gamma: float, *, inverted: bool) -> None:
    """Raise the greys to a power within their range, in place; mean and standard deviation stay."""
    if inverted:
        image.neg_()
    least, greatest = torch.aminmax(image)
    reach = (greatest - least).clamp(min=_LEAST)
    image.sub_(least).div_(reach)
    mean, spread = _statistics(image)
    image.pow_(gamma)
    middle, now = _statistics(image)
    # back to the range, then to the statistics
    factor = reach * spread / now.clamp(min=_LEAST)
    image.mul_(factor).add_(least + reach * mean - middle * factor)
    if inverted:
        image.neg_()


def _statistics(unit: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of values from 0 to 1, scalars; torch's own `std_mean` takes forty times as long."""
    flat = unit.flatten()
    mean, square = flat.mean(), torch.dot(flat, flat) / flat.numel()
    return mean, (square - mean.square()).clamp(min=0).sqrt()


def _along(matrix: Tensor, image: Tensor, axis: int) -> Tensor:
    """Each line of `image` along `axis` through a matrix (edge, edge)."""
    if axis == image.ndim - 1:
        return image @ matrix.T
    return matrix @ image if axis == image.ndim - 2 else torch.tensordot(matrix, image, ([1], [axis]))


def _gaussian(edge: int, sigma: float) -> npt.NDArray[np.float32]:
    """(edge, edge): what a Gaussian, cut off at four deviations, makes of a line that is mirrored at its ends."""
    reach = int(4 * sigma + 0.5)
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / sigma) ** 2)
    rows = np.arange(edge)
    # beyond an end the line comes back, its last voxel first
    places = (rows[:, None] + steps) % (2 * edge)
    matrix = np.zeros((edge, edge))
    np.add.at(matrix, (rows[:, None], np.minimum(places, 2 * edge - 1 - places)), kernel / kernel.sum())
    return matrix.astype(np.float32)


def _chosen(channels: list[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """Each with its chance."""
    return [channel for channel in channels if rng.random() < P_PER_CHANNEL]


def _around_one(limits: tuple[float, float], rng: np.random.Generator) -> float:
    """Below 1 in half of the draws, above it in the others, however far the limits are from 1."""
    low, high = limits
    return float(rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high))
