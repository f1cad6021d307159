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

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch.nn import functional

from autospine.data.structure import IGNORED

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

Image = npt.NDArray[np.float32]


def change_contrast(image: Image, label: npt.NDArray[np.uint8], rng: np.random.Generator, slices: int = 1) -> None:
    """Give each channel of a sample another contrast, in place.

    Args:
        image: (slices * C, *patch), channels of images alone; 0 where nothing is shown, which stays.
        label: (*patch) class indices; of neighbouring slices those of the middle one.
        rng: what draws.
        slices: neighbouring slices that a sample shows: they are one acquisition, and change alike.
    """
    stacks = image.reshape(slices, -1, *image.shape[1:])
    shown = np.any(image != 0, axis=0)
    if not shown.any():
        return
    if slices > 1:
        label, shown = (np.broadcast_to(one[0], (slices, *one.shape[1:])) for one in (label, shown))
    for place in range(stacks.shape[1]):
        channel = stacks[:, place, 0] if slices > 1 else stacks[0, place]
        flat = slices > 1 or len(channel) == 1
        changed, before = channel, channel[shown]
        spread = float(before.std())
        if not spread:
            continue
        if rng.random() < P_LABELS:
            changed = _labels(changed, label, spread, rng, flat=flat)
        if rng.random() < P_CURVE:
            changed = _curve(changed, shown, rng)
        if rng.random() < P_FILTERS:
            changed = _filters(changed, shown, rng, flat=flat)
        if rng.random() < P_BIAS:
            changed = _bias(changed, rng)
        held = changed[shown]
        now = float(held.std())
        if now > 1e-3 * spread and np.isfinite(now):
            channel[shown] = (held - held.mean()) * (spread / now) + before.mean()


def _labels(
    image: Image, label: npt.NDArray[np.uint8], spread: float, rng: np.random.Generator, *, flat: bool
) -> Image:
    """Labels of a column are of one tissue: half of the time they have one offset together."""
    together = rng.normal(0, OFFSET) if rng.random() < 0.5 else None
    offsets = np.zeros(256, np.float32)
    for value in np.unique(label):
        if value not in (0, IGNORED):
            offsets[value] = rng.normal(0, OFFSET) if together is None else together + rng.normal(0, 0.1 * OFFSET)
    soft = ndimage.gaussian_filter(offsets[label], (0 if flat else SOFT_VOXELS, SOFT_VOXELS, SOFT_VOXELS))
    return np.asarray(image + np.float32(spread) * soft, np.float32)


def _curve(image: Image, shown: npt.NDArray[np.bool_], rng: np.random.Generator) -> Image:
    low, high = np.percentile(image[shown], (1, 99))
    if not high > low:
        return image
    greys = np.linspace(low, high, KNOTS)
    values = rng.uniform(low, high, KNOTS)
    if rng.random() < 0.7:  # a curve that rises or falls throughout
        values = np.sort(values)[:: rng.choice((-1, 1))]
    return np.interp(image, greys, values).astype(np.float32)


def _filters(image: Image, shown: npt.NDArray[np.bool_], rng: np.random.Generator, *, flat: bool) -> Image:
    """Filters of slices alone where the image is `flat`."""
    layers = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    for layer in range(LAYERS):
        count, held = 1 if layer == LAYERS - 1 else WIDTH, layers.shape[1]
        size = int(rng.choice((1, 3)))
        edges = (1 if flat else size, size, size)
        kernels = torch.from_numpy(rng.normal(size=(count, held, *edges)).astype(np.float32))
        offsets = torch.from_numpy(rng.normal(size=count).astype(np.float32))
        around = [edge // 2 for edge in reversed(edges) for _ in range(2)]
        layers = functional.conv3d(functional.pad(layers, around, "replicate"), kernels, offsets)
        if layer < LAYERS - 1:
            layers = functional.leaky_relu(layers, SLOPE)
    said, was = layers[0, 0].numpy(), image
    norm = float(np.linalg.norm(said[shown]))
    if not norm:
        return image
    share = np.float32(rng.random())
    mixed = share * was + (1 - share) * said * np.float32(np.linalg.norm(was[shown]) / norm)
    return np.asarray(mixed, np.float32)


def _bias(image: Image, rng: np.random.Generator) -> Image:
    knots = [BIAS_KNOTS if edge > BIAS_KNOTS else 1 for edge in image.shape]
    field = rng.normal(0, FIELD, knots).astype(np.float32)
    for axis, (edge, count) in enumerate(zip(image.shape, knots, strict=True)):
        if count > 1:
            field = np.moveaxis(np.tensordot(_spline(edge), field, (1, axis)), 0, axis)
    low = image.min()
    return np.asarray((image - low) * np.exp(field) + low, np.float32)


@lru_cache(maxsize=16)
def _spline(edge: int) -> Image:
    """(edge, `BIAS_KNOTS`): what each knot adds along an edge; cubic splines are sums of their knots."""
    return np.asarray(ndimage.zoom(np.eye(BIAS_KNOTS), (edge / BIAS_KNOTS, 1), order=3), np.float32)
