"""The network's answer back from a prepared grid: onto the case's own, or onto that of a cascade's next stage.

own grid      <--put into a blank volume-- <--canonical order-- <--classes on the crop's grid--  logits
next stage    <--classes on the crop as it prepares it-- <--its axis order---------------------  logits
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.resample import Regrid
from autospine.preprocessing.resample_labels import argmax_on_grid, positive_on_grid


def restore_labels(logits: npt.NDArray[Any], properties: CaseProperties, card: ModelCard) -> npt.NDArray[np.uint8]:
    """The classes of `logits` (K, a0, a1, a2) on the canonical native grid (Z, Y, X); 0 outside the crop."""
    spacings = properties.prepared_spacing_mm, properties.cropped_spacing_mm
    way = Regrid(properties.cropped_shape, *spacings, card.configuration.resampling)
    labels = np.zeros(properties.canonical_shape, np.uint8)
    box = tuple(slice(low, high) for low, high in properties.box)
    labels[box] = _classes_on(logits, way, card).transpose(np.argsort(properties.axis_order))
    return labels


def onto_next_grid(
    logits: npt.NDArray[Any], properties: CaseProperties, following: CaseProperties, card: ModelCard
) -> npt.NDArray[np.uint8]:
    """The classes of the previous stage's `logits` (K, a0, a1, a2) on the grid of the case as the next one prepares it.

    Both stages prepare the same crop, `properties` and `following`: the grids share their borders, and only axes and
    spacing can differ. The `card` is the previous stage's.
    """
    order = [properties.axis_order.index(axis) for axis in following.axis_order]
    turned = logits.transpose(0, *(axis + 1 for axis in order))
    spacing_mm = [properties.prepared_spacing_mm[axis] for axis in order]
    spacings = spacing_mm, following.prepared_spacing_mm
    return _classes_on(turned, Regrid(following.prepared_shape, *spacings, card.configuration.resampling), card)


def _classes_on(logits: npt.NDArray[Any], way: Regrid, card: ModelCard) -> npt.NDArray[np.uint8]:
    """Class indices of `logits` (K, z, y, x) on the new grid: the winners, or the regions written in turn.

    A region holds where its interpolated logit is above 0, a probability above one half.
    """
    if not card.data.regions:
        return argmax_on_grid(logits, way)
    labels = np.zeros(tuple(way.shape), np.uint8)
    for logit, value in zip(logits, card.data.written, strict=True):
        labels[positive_on_grid(logit, way)] = value
    return labels
