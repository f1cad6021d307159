"""What is known of a case's crop as what belongs to its image file: class indices as a mask, boxes in its axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Geometry, Orientation, Volume, canonical_orientation, restore, triple
from autospine.inference.instances import number_levels, separate_merged
from autospine.inference.vertebral_levels import Renaming
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.restore import on_canonical_grid

Box = tuple[slice, slice, slice]


def labels_volume(
    indices: npt.NDArray[np.uint8], geometry: Geometry, card: ModelCard, metadata: tuple[tuple[str, str], ...] = ()
) -> Volume:
    """Canonical class indices (Z, Y, X) as labels (1, Z, Y, X) of the training set on the grid `geometry`."""
    on_file_axes = restore(label_values(indices, card), canonical_orientation(geometry))
    return Volume(on_file_axes[None], geometry, metadata)


def instances_volume(
    indices: npt.NDArray[np.uint8],
    renaming: Renaming | None,
    card: ModelCard,
    properties: CaseProperties,
    geometry: Geometry,
    metadata: tuple[tuple[str, str], ...] = (),
) -> Volume:
    """The vertebrae of canonical class indices (Z, Y, X) as numbers from below (1, Z, Y, X) on the grid `geometry`.

    `renaming` is of the case on any grid over its crop, in planned axis order; None where none was found, or labels are
    no levels.
    """
    levels = card.data.levels
    if levels is None:
        numbers = separate_merged(indices, card.data, properties.canonical_spacing_mm)
    elif renaming is None:
        numbers = np.zeros(indices.shape, np.int32)
    else:
        found = on_canonical_grid(nearest(renaming.vertebrae, renaming.numbers, properties.cropped_shape), properties)
        best = renaming.column.levels.best.tolist()
        classes = [levels.classes[place] if 0 <= place < len(levels.classes) else None for place in best]
        numbers = number_levels(indices, found, classes, levels.classes)
    return Volume(restore(numbers.astype(np.uint16), canonical_orientation(geometry))[None], geometry, metadata)


def nearest(
    values: npt.NDArray[np.uint16], numbers: npt.NDArray[np.int32], shape: Sequence[int]
) -> npt.NDArray[np.uint16]:
    """`values` of `numbers` (a0, a1, a2) on a grid of another `shape` over the same box: of the nearest voxel."""
    places = [
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(numbers.shape, shape, strict=True)
    ]
    taken: npt.NDArray[np.uint16] = values[numbers][np.ix_(*places)]
    return taken


def label_values(indices: npt.NDArray[np.uint8], card: ModelCard) -> npt.NDArray[np.integer[Any]]:
    """Class indices 0..K -> the label values of the training set, 0 for background, in the smallest type for them."""
    values = np.array([0, *(value for _, value in card.data.labels)], np.int64)
    small = np.result_type(*(np.min_scalar_type(int(value)) for value in values))
    mapped: npt.NDArray[np.integer[Any]] = values.astype(small)[indices]
    return mapped


def structures(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """What is segmented, by name: the label values of the training set that each is made of."""
    if card.data.regions:
        return {region.name: tuple(map(int, region.values)) for region in card.data.regions}
    return {name: (int(value),) for name, value in card.data.labels}


@dataclass(frozen=True)
class Placement:
    """Where a case's crop, in planned axis order, lies in its image file."""

    properties: CaseProperties
    orientation: Orientation

    @staticmethod
    def of(properties: CaseProperties, geometry: Geometry) -> Placement:
        """That in the file whose grid is `geometry`."""
        return Placement(properties, canonical_orientation(geometry))

    @property
    def row_axis(self) -> int:
        """File axis along which planned rows follow each other."""
        return self.orientation.permutation[self.properties.axis_order[0]]

    @property
    def whole(self) -> Box:
        """Where the crop lies."""
        return self.box(tuple(slice(0, size) for size in self.properties.cropped_shape))

    def box(self, spans: Sequence[slice]) -> Box:
        """Where a box of the crop, given along planned axes, lies in the file."""
        found: dict[int, slice] = {}
        for span, axis in zip(spans, self.properties.axis_order, strict=True):
            low = self.properties.box[axis][0]
            size = self.properties.canonical_shape[axis]
            first, end = low + span.start, low + span.stop
            turned = slice(size - end, size - first) if self.orientation.flips[axis] else slice(first, end)
            found[self.orientation.permutation[axis]] = turned
        return triple(found[axis] for axis in range(3))

    def turn(self, block: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A `block` (..., a0, a1, a2) along planned axes in the axes of the file, contiguous."""
        lead = block.ndim - 3
        back = np.argsort(self.properties.axis_order)
        return restore(block.transpose(*range(lead), *(lead + int(axis) for axis in back)), self.orientation)
