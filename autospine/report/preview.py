"""A picture of a segmentation, to be looked at before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autospine.data.codes.structures import Structure
from autospine.data.geometry import Volume, to_canonical
from autospine.data.slices import slices_of
from autospine.report.panels import ShownSlice, slices_through, structure_entries, windowed, write_slices

_SLICES = 3


def write_preview(path: Path, image: Volume, labels: Volume, structures: Sequence[Structure], title: str) -> None:
    """Write three slices through what was found, each without and with the structures in their colours.

    The slices lie across the axis of acquisition, a quarter, a half and three quarters through the structures; through
    the image where nothing was found. They are shown whole: what was found far from where it should be is seen, too.

    Args:
        path: the picture; the suffix says the format.
        image: (C, Z, Y, X), of which the first channel that is not 0 everywhere is shown.
        labels: (1, Z, Y, X), values of `structures` or 0, on the same grid.
        structures: what the legend names, of those that were found, and their colours.
        title: above the picture.

    Raises:
        OutputError: the picture cannot be written.
    """
    found = to_canonical(labels)
    axis, mask = slices_of(found.geometry), found.array[0]
    channels = to_canonical(image).array
    shown = next((one for one in channels if one.any()), channels[0])
    chosen = slices_through(mask, axis, _SLICES)
    grey = windowed(np.take(shown, chosen, axis=axis))
    slices = [
        ShownSlice(
            f"slice {index + 1} of {mask.shape[axis]}",
            np.take(grey, place, axis=axis),
            None,
            np.take(mask, index, axis=axis),
            axis,
            found.geometry.spacing_mm,
        )
        for place, index in enumerate(chosen)
    ]
    entries = structure_entries([one for one in structures if (mask == one.value).any()])
    write_slices(path, slices, structures, entries, title)
