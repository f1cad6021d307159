"""Random contrast: samples as another sequence, scanner or coil would show the same anatomy.

A network learns which grey means bone on the scanner that it is shown, and fails on the next one. What is drawn here
changes every relation between greys and leaves edges and shapes as they are:

    labels    each class, and what lies around them, gets an offset of its own, with edges as soft as the image's
    curve     all greys go through one random curve, which may fall: fat and water, T1 and T2 change places so
    filters   a few layers of random convolutions, mixed with the image: GIN (Ouyang et al. 2022,
              doi 10.1109/TMI.2022.3224067, section III-A)
    bias      a smooth field, as coils have

Each of them with its own probability, in this order; then the sample has the mean and the spread that it had before, as
a normalised image has. After Billot et al. 2023 (SynthSeg, doi 10.1016/j.media.2023.102789), which draws the greys of
every label at random, what is drawn may be far from any real image: what holds on all of them holds on real ones, too.
"""

from __future__ import annotations

from functools import lru_cache
from math import isfinite

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from autospine.data.structure import IGNORED
from autospine.training.intensity import blur

P_LABELS, P_CURVE, P_FILTERS, P_BIAS = 0.5, 0.6, 0.5, 0.3
OFFSET = 1.0
"""Standard deviation of a label's offset, in those of the sample's greys."""
SOFT_VOXELS = 0.7
"""Of a label's edge."""
KNOTS = 5
"""Greys between which a curve is straight."""
LAYERS, WIDTH = 3, 2
"""Of the random convolutions."""
SLOPE = 0.01
"""Of what is negative between layers."""
FIELD, BIAS_KNOTS = 0.4, 4
"""Standard deviation of a field's logarithm at its knots, and their number along an edge."""

SAMPLED = 2**12
"""Voxels of which the ends of a curve are told; sorting all of a large patch takes longer than the rest."""


def change_contrast(image: Tensor, label: Tensor, rng: np.random.Generator, slices: int = 1) -> None:
    """Give each channel of a sample another contrast, in place.

    Args:
        image: (slices * C, *patch) float32, channels of images alone; 0 where nothing is shown, which stays.
        label: (*patch) class indices; of neighbouring slices those of the middle one.
        rng: what draws.
        slices: neighbouring slices that a sample shows: they are one acquisition, and change alike.
    """
    stacks = image.view(slices, -1, *image.shape[1:])
    shown = (image != 0).any(dim=0)
    if not shown.any():
        return
    if slices > 1:
        label, shown = (one[0].expand(slices, *one.shape[1:]) for one in (label, shown))
    for place in range(stacks.shape[1]):
        channel = stacks[:, place, 0] if slices > 1 else stacks[0, place]
        flat = slices > 1 or len(channel) == 1
        changed = channel
        mean, spread = _statistics(channel, shown)
        if not spread:
            continue
        if rng.random() < P_LABELS:
            changed = _labels(changed, label, spread, rng, flat=flat)
        if rng.random() < P_CURVE:
            changed = _curve(changed, shown, rng)
        if rng.random() < P_FILTERS:
            changed = _filters(changed, shown, rng)
        if rng.random() < P_BIAS:
            changed = _bias(changed, rng)
        middle, now = _statistics(changed, shown)
        if now > 1e-3 * spread and isfinite(now):
            factor = spread / now
            channel.copy_(torch.where(shown, changed * factor + (mean - middle * factor), channel))


def _statistics(image: Tensor, shown: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of what is shown."""
    count = shown.sum()
    mean = torch.where(shown, image, 0).sum() / count
    return float(mean), float((torch.where(shown, image - mean, 0).square().sum() / count).sqrt())


def _labels(image: Tensor, label: Tensor, spread: float, rng: np.random.Generator, *, flat: bool) -> Tensor:
    """Labels of a column are of one tissue: half of the time they have one offset together."""
    together = rng.normal(0, OFFSET) if rng.random() < 0.5 else None
    offsets = np.zeros(256, np.float32)
    for value in torch.bincount(label.flatten(), minlength=256).nonzero()[:, 0].tolist():
        if value not in (0, IGNORED):
            offsets[value] = rng.normal(0, OFFSET) if together is None else together + rng.normal(0, 0.1 * OFFSET)
    drawn = torch.from_numpy(offsets).to(image.device)[label.long()]
    return image + spread * blur(drawn, [0.0 if flat else SOFT_VOXELS, SOFT_VOXELS, SOFT_VOXELS])


def _curve(image: Tensor, shown: Tensor, rng: np.random.Generator) -> Tensor:
    """From the first to the last hundredth of the greys that are shown."""
    at = torch.from_numpy(rng.integers(image.numel(), size=SAMPLED)).to(image.device)
    some = image.flatten()[at][shown.flatten()[at]]
    if not len(some):
        return image
    low, high = (float(one) for one in some.quantile(torch.tensor((0.01, 0.99), device=some.device)))
    if not high > low:
        return image
    values = rng.uniform(low, high, KNOTS)
    if rng.random() < 0.7:  # a curve that rises or falls throughout
        values = np.sort(values)[:: rng.choice((-1, 1))]
    # straight between knots that are equally far apart; beyond them all greys are that of the last
    heights = torch.from_numpy(values.astype(np.float32)).to(image.device)
    place = (image - low).mul_((KNOTS - 1) / (high - low)).clamp_(0, KNOTS - 1)
    below = place.floor().clamp_(max=KNOTS - 2)
    at = below.long()
    return torch.lerp(heights[at], heights[at + 1], place - below)


def _filters(image: Tensor, shown: Tensor, rng: np.random.Generator) -> Tensor:
    """Filters of slices by themselves, as a scanner's are."""
    layers = [image]
    for layer in range(LAYERS):
        count, size = 1 if layer == LAYERS - 1 else WIDTH, int(rng.choice((1, 3)))
        kernels = rng.normal(size=(count, len(layers), size, size))
        offsets = rng.normal(size=count)
        around = [functional.pad(one, [size // 2] * 4, "replicate") for one in layers]
        layers = [_filtered(around, *drawn, image) for drawn in zip(kernels, offsets.tolist(), strict=True)]
        if layer < LAYERS - 1:
            layers = [functional.leaky_relu_(one, SLOPE) for one in layers]
    (said,) = layers
    norm = float(torch.where(shown, said, 0).norm())
    if not norm:
        return image
    share, was = float(rng.random()), float(torch.where(shown, image, 0).norm())
    return share * image + (1 - share) * was / norm * said


def _filtered(around: list[Tensor], kernels: npt.NDArray[np.float64], offset: float, image: Tensor) -> Tensor:
    """Sum of shifted images: with so few of them that is several times faster than a convolution on a CPU."""
    rows, columns = image.shape[1:]
    total = torch.full_like(image, offset, memory_format=torch.contiguous_format)
    for padded, kernel in zip(around, kernels, strict=True):
        for (row, column), weight in np.ndenumerate(kernel):
            total.add_(padded[:, row : row + rows, column : column + columns], alpha=float(weight))
    return total


def _bias(image: Tensor, rng: np.random.Generator) -> Tensor:
    knots = [BIAS_KNOTS if edge > BIAS_KNOTS else 1 for edge in image.shape]
    field = torch.from_numpy(rng.normal(0, FIELD, knots).astype(np.float32)).to(image.device)
    for axis, (edge, count) in enumerate(zip(image.shape, knots, strict=True)):
        if count > 1:
            spline = torch.from_numpy(_spline(edge)).to(image.device)
            field = torch.tensordot(spline, field, ([1], [axis])).movedim(0, axis)
    low = image.min()
    return (image - low) * field.exp() + low


@lru_cache(maxsize=16)
def _spline(edge: int) -> npt.NDArray[np.float32]:
    """(edge, `BIAS_KNOTS`): what each knot adds along an edge; cubic splines are sums of their knots."""
    return np.asarray(ndimage.zoom(np.eye(BIAS_KNOTS), (edge / BIAS_KNOTS, 1), order=3), np.float32)
