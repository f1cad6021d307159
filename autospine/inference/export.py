"""Class indices on a case's canonical grid as the mask that belongs to its image file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Geometry, Volume, canonical_orientation, restore
from autospine.planning.document.model_card import ModelCard


def labels_volume(
    indices: npt.NDArray[np.uint8], geometry: Geometry, card: ModelCard, metadata: tuple[tuple[str, str], ...] = ()
) -> Volume:
    """Canonical class indices (Z, Y, X) as labels (1, Z, Y, X) of the training set on the grid `geometry`."""
    on_file_axes = restore(label_values(indices, card), canonical_orientation(geometry))
    return Volume(on_file_axes[None], geometry, metadata)


def label_values(indices: npt.NDArray[np.uint8], card: ModelCard) -> npt.NDArray[np.integer[Any]]:
    """Class indices 0..K -> the label values of the training set, 0 for background, in the smallest type for them."""
    values = np.array([0, *(value for _, value in card.data.labels)], np.int64)
    small = np.result_type(*(np.min_scalar_type(int(value)) for value in values))
    mapped: npt.NDArray[np.integer[Any]] = values.astype(small)[indices]
    return mapped
