"""A picture of a segmentation, to be looked at before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.codes.structures import Structure
from autospine.data.geometry import Volume, to_canonical
from autospine.data.slices import slices_of
from autospine.report.canvas import new_figure, save_figure
from autospine.report.figures import placement_of, windowed

_SLICES = 3
_FILL, _OUTLINE = 0.3, 1.0
"""Opacity inside a structure and along its border."""
_PANEL_INCH = 3.4
_LISTED = 40
"""Structures that the legend names."""


def write_preview(path: Path, image: Volume, labels: Volume, structures: Sequence[Structure], title: str) -> None:
    """Write three slices through what was found, each without and with the structures in their colours.

    The slices lie across the axis of acquisition, a quarter, a half and three quarters through the structures; through
    the image where nothing was found.

    Args:
        path: the picture; the suffix says the format.
        image: (C, Z, Y, X), of which the first channel that is not 0 everywhere is shown.
        labels: (1, Z, Y, X), values of `structures` or 0, on the same grid.
        structures: what the legend names, of those that were found, and their colours.
        title: above the picture.

    Raises:
        OutputError: the picture cannot be written.
    """
    axis = slices_of(to_canonical(labels).geometry)
    mask = to_canonical(labels).array[0]
    grey = to_canonical(image).array
    channel = next((one for one in grey if one.any()), grey[0])
    spacing_mm = to_canonical(labels).geometry.spacing_mm
    chosen = _chosen(mask, axis)
    rows, columns = (other for other in range(3) if other != axis)
    wide = mask.shape[columns] * spacing_mm[columns] / (mask.shape[rows] * spacing_mm[rows])
    width = min(max(_PANEL_INCH * wide, 1.6), 6.0)
    figure = new_figure(len(chosen) * width + 2.2, 2 * _PANEL_INCH + 0.7)
    table = figure.subplots(2, len(chosen), squeeze=False)
    placement = placement_of(axis, spacing_mm)
    for place, index in enumerate(chosen):
        plane = windowed(np.take(channel, index, axis=axis))
        for axes in table[:, place]:
            axes.imshow(plane, cmap="gray", vmin=0, vmax=1, **placement)
            axes.set_axis_off()
        table[1, place].imshow(coloured(np.take(mask, index, axis=axis), structures), **placement)
        table[0, place].set_title(f"slice {index + 1} of {mask.shape[axis]}", fontsize=8)
    _add_legend(figure, [one for one in structures if (mask == one.value).any()])
    figure.suptitle(title, fontsize=10, parse_math=False)  # a name may hold two dollar signs
    save_figure(figure, path)


def coloured(plane: npt.NDArray[Any], structures: Sequence[Structure]) -> npt.NDArray[np.float32]:
    """Colours (rows, columns, RGBA) of the structures in a slice: see-through inside, opaque along their borders."""
    colours = np.zeros((*plane.shape, 4), np.float32)
    border = _border(plane)
    for one in structures:
        inside = plane == one.value
        colours[inside, :3] = np.asarray(one.colour, np.float32) / 255
        colours[inside, 3] = np.where(border[inside], _OUTLINE, _FILL)
    return colours


def _border(plane: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which pixels have another value beside them, above, below, left or right."""
    padded = np.pad(plane, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    found: npt.NDArray[np.bool_] = np.logical_or.reduce([inner != other for other in beside])
    return found


def _chosen(mask: npt.NDArray[Any], axis: int) -> list[int]:
    """Slices a quarter, a half and three quarters through the structures, or through all where there is none."""
    others = tuple(other for other in range(3) if other != axis)
    held = np.flatnonzero((mask > 0).any(axis=others))
    first, last = (int(held[0]), int(held[-1])) if len(held) else (0, mask.shape[axis] - 1)
    parts = (first + (last - first) * (place + 1) / (_SLICES + 1) for place in range(_SLICES))
    return sorted({round(part) for part in parts})


def _add_legend(figure: Any, structures: Sequence[Structure]) -> None:
    """The structures that were found with their colours, at the right."""
    from matplotlib.patches import Patch

    handles = [
        Patch(color="#{:02x}{:02x}{:02x}".format(*one.colour), label=_shortened(one.name))
        for one in structures[:_LISTED]
    ]
    if len(structures) > _LISTED:
        handles.append(Patch(alpha=0, label=f"and {len(structures) - _LISTED} more"))
    handles = handles or [Patch(alpha=0, label="nothing found")]
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)


def _shortened(name: str) -> str:
    """A name as a legend can hold it; matplotlib reads `$` as formulas and leaves out what begins with `_`."""
    text = name if len(name) <= 28 else f"{name[:27]}…"
    return text.replace("$", r"\$").replace("_", " ")
