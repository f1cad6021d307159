"""The network's answer back from a prepared grid: onto the case's own, or onto that of a cascade's next stage.

own grid      <--put into a blank volume-- <--canonical order-- <--classes on the crop's grid--  logits
next stage    <--classes on the crop as it prepares it-- <--its axis order---------------------  logits

Logits come in slabs of rows, and strip by strip where a row is too much: a class index is left of each voxel.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import triple
from autospine.data.structure import IGNORED
from autospine.planning.document.data import DataPlan
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.resample import Regrid
from autospine.preprocessing.resample_labels import Passage, Piece, Stream, positive, winners

_Number = TypeVar("_Number", np.uint8, np.uint16)


def own_way(properties: CaseProperties, card: ModelCard) -> Regrid:
    """From the grid of a prepared case to the crop on the case's own grid, both in planned axis order."""
    spacings = properties.prepared_spacing_mm, properties.cropped_spacing_mm
    return Regrid(properties.cropped_shape, *spacings, card.configuration.resampling)


def next_way(properties: CaseProperties, following: CaseProperties, card: ModelCard) -> Regrid:
    """From the grid of a case as one stage prepares it to that of the next stage, in the first one's axis order.

    Both stages prepare the same crop: the grids share their borders, and only axes and spacing can differ.
    """
    place = _places(properties, following)
    shape, spacing_mm = ([values[axis] for axis in place] for values in _prepared_grid(following))
    return Regrid(triple(map(int, shape)), properties.prepared_spacing_mm, spacing_mm, card.configuration.resampling)


def _prepared_grid(of: CaseProperties) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Shape and spacing (mm) of a prepared case."""
    return of.prepared_shape, of.prepared_spacing_mm


def next_axes(properties: CaseProperties, following: CaseProperties) -> tuple[int, int, int]:
    """The axes of a prepared case in the order of the next stage, in which interpolation adds neighbours up."""
    return triple(properties.axis_order.index(axis) for axis in following.axis_order)


def _places(properties: CaseProperties, following: CaseProperties) -> list[int]:
    """Where each axis of a prepared case stands as the next stage prepares it."""
    return [following.axis_order.index(axis) for axis in properties.axis_order]


class Classes:
    """Class indices on a new grid, made of logits as they come: the winners, or the regions written in turn.

    A region holds where its interpolated logit is above 0, a probability above one half.
    """

    def __init__(self, passage: Passage, card: ModelCard) -> None:
        """None so far; each voxel is of some piece."""
        self._passage, self._outputs = passage, card.data.outputs
        self._written = card.data.written if card.data.regions else None
        self._labels = np.zeros(passage.target, np.uint8)

    def add(self, piece: Piece) -> None:
        """Fill in a piece; of its values, the first channels are the logits."""
        piece = replace(piece, values=piece.values[: self._outputs])
        if self._written is None:
            self._labels[piece.place] = winners(piece)
            return
        labels = self._labels[piece.place]
        for channel, value in enumerate(self._written):
            labels[positive(piece, channel) > 0] = value

    def done(self) -> npt.NDArray[np.uint8]:
        """All of them, on the new grid."""
        return self._passage.pick(self._labels)


def on_canonical_grid(classes: npt.NDArray[_Number], properties: CaseProperties) -> npt.NDArray[_Number]:
    """The `classes` of the crop in planned axis order on the canonical native grid (Z, Y, X); 0 outside the crop."""
    labels = np.zeros(properties.canonical_shape, classes.dtype)
    box = tuple(slice(low, high) for low, high in properties.box)
    labels[box] = classes.transpose(np.argsort(properties.axis_order))
    return labels


def in_next_order(
    classes: npt.NDArray[np.uint8], properties: CaseProperties, following: CaseProperties
) -> npt.NDArray[np.uint8]:
    """The `classes` that came by `next_way`, in the axis order of the next stage."""
    return np.ascontiguousarray(classes.transpose(np.argsort(_places(properties, following))))


def restore_labels(logits: npt.NDArray[Any], properties: CaseProperties, card: ModelCard) -> npt.NDArray[np.uint8]:
    """The classes of `logits` (K, a0, a1, a2) on the canonical native grid (Z, Y, X); 0 outside the crop."""
    return on_canonical_grid(_classes_on(logits, own_way(properties, card), card), properties)


def onto_next_grid(
    logits: npt.NDArray[Any], properties: CaseProperties, following: CaseProperties, card: ModelCard
) -> npt.NDArray[np.uint8]:
    """The classes of the previous stage's `logits` (K, a0, a1, a2) on the grid of the case as the next one prepares it.

    The `card` is the previous stage's; for the rest see `next_way`.
    """
    classes = _classes_on(logits, next_way(properties, following, card), card, next_axes(properties, following))
    return in_next_order(classes, properties, following)


def _classes_on(
    logits: npt.NDArray[Any], way: Regrid, card: ModelCard, axes: tuple[int, int, int] = (0, 1, 2)
) -> npt.NDArray[np.uint8]:
    """Class indices of `logits` (K, z, y, x), all of which are there, on the new grid."""
    passage = Passage.of(triple(logits.shape[1:]), way, way.plan.order_probability, axes)
    classes = Classes(passage, card)
    for piece in Stream(passage).pieces(0, logits):
        classes.add(piece)
    return classes.done()


def as_written(reference: npt.NDArray[np.uint8], data: DataPlan) -> npt.NDArray[np.uint8]:
    """Classes as a prediction without a fault would have them: regions are written as one class, the later over all."""
    if not data.regions:
        return reference
    written = np.where(reference == IGNORED, IGNORED, 0).astype(np.uint8)
    for held, value in zip(data.members, data.written, strict=True):
        written[np.isin(reference, held)] = value
    return written
