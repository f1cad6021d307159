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

import numpy as np
import numpy.typing as npt
from scipy import ndimage

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
FIELD = 0.4
"""Standard deviation of a field's logarithm at its knots, of which there are 4 along an edge."""

Image = npt.NDArray[np.float32]


def change_contrast(image: Image, label: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Give each channel of a sample another contrast, in place.

    Args:
        image: (C, *patch), channels of images alone; 0 where nothing is shown, which stays.
        label: (*patch) class indices.
        rng: what draws.
    """
    shown = np.any(image != 0, axis=0)
    if not shown.any():
        return
    masks = [label == value for value in np.unique(label) if value not in (0, IGNORED)]
    for channel in image:
        changed, before = channel, channel[shown]
        spread = float(before.std())
        if not spread:
            continue
        if rng.random() < P_LABELS:
            changed = _labels(changed, masks, spread, rng)
        if rng.random() < P_CURVE:
            changed = _curve(changed, shown, rng)
        if rng.random() < P_FILTERS:
            changed = _filters(changed, shown, rng)
        if rng.random() < P_BIAS:
            changed = _bias(changed, rng)
        held = changed[shown]
        now = float(held.std())
        if now > 1e-3 * spread and np.isfinite(now):
            channel[shown] = (held - held.mean()) * (spread / now) + before.mean()


def _labels(image: Image, masks: list[npt.NDArray[np.bool_]], spread: float, rng: np.random.Generator) -> Image:
    """Labels of a column are of one tissue: half of the time they have one offset together."""
    together, changed = rng.normal(0, OFFSET) if rng.random() < 0.5 else None, image.copy()
    for mask in masks:
        offset = rng.normal(0, OFFSET) if together is None else together + rng.normal(0, 0.1 * OFFSET)
        soft = ndimage.gaussian_filter(mask.astype(np.float32), [SOFT_VOXELS * (size > 1) for size in mask.shape])
        changed += np.float32(offset * spread) * soft
    return changed


def _curve(image: Image, shown: npt.NDArray[np.bool_], rng: np.random.Generator) -> Image:
    low, high = np.percentile(image[shown], (1, 99))
    if not high > low:
        return image
    greys = np.linspace(low, high, KNOTS)
    values = rng.uniform(low, high, KNOTS)
    if rng.random() < 0.7:  # a curve that rises or falls throughout
        values = np.sort(values)[:: rng.choice((-1, 1))]
    return np.interp(image, greys, values).astype(np.float32)


def _filters(image: Image, shown: npt.NDArray[np.bool_], rng: np.random.Generator) -> Image:
    layers = [image]
    for layer in range(LAYERS):
        count = 1 if layer == LAYERS - 1 else WIDTH
        size = int(rng.choice((1, 3)))
        edges = [size if edge > 1 else 1 for edge in image.shape]
        sums = []
        for _ in range(count):
            kernels = rng.normal(size=(len(layers), *edges)).astype(np.float32)
            summed = sum(ndimage.convolve(one, kernel) for one, kernel in zip(layers, kernels, strict=True))
            summed = summed + np.float32(rng.normal())
            sums.append(summed if layer == LAYERS - 1 else np.where(summed > 0, summed, SLOPE * summed))
        layers = sums
    said, was = layers[0], image
    norm = float(np.linalg.norm(said[shown]))
    if not norm:
        return image
    share = np.float32(rng.random())
    mixed = share * was + (1 - share) * said * np.float32(np.linalg.norm(was[shown]) / norm)
    return np.asarray(mixed, np.float32)


def _bias(image: Image, rng: np.random.Generator) -> Image:
    knots = [4 if edge > 4 else 1 for edge in image.shape]
    field = np.exp(rng.normal(0, FIELD, knots))
    for axis, (edge, count) in enumerate(zip(image.shape, knots, strict=True)):
        if count > 1:
            field = ndimage.zoom(field, [edge / count if one == axis else 1 for one in range(image.ndim)], order=3)
    low = image.min()
    return np.asarray((image - low) * field + low, np.float32)
