"""What pictures of cases are made of: slices in grey, structures laid over them, what is wrong with them, legends.

    image | reference | prediction | error      a row per slice, or a column where slices are more than panels

Structures have the colours of `data.codes.structures`: the same in every picture, and in the tables and DICOM objects
that go with a segmentation. The kinds of error have colours of Okabe and Ito (2008), which people with any vision of
colours tell apart; they also differ in lightness.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autospine.data.codes.structures import Structure
from autospine.report.canvas import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Labels = tuple[tuple[str, int], ...]
"""(name, value in the masks) of the structures that are drawn."""
Entry = tuple[str | None, str]
"""Of a legend: a colour, None for a line without one, and what it says."""

ERRORS = (("false positive", "#d55e00"), ("false negative", "#56b4e9"), ("wrong structure", "#f0e442"))
"""Predicted where nothing is, nothing predicted where something is, and one structure taken for another."""

_FILL, _OUTLINE, _WRONG = 0.3, 1.0, 0.85
"""Opacity inside a structure, along its border, and of an error."""
_PANEL_INCH, _TALLEST = 2.9, 4.4
"""Height of a panel, and of one with many rows: errors are often a voxel wide, and would fall between two pixels."""
_NARROWEST, _WIDEST = 1.1, 4.2
"""Inches that a panel is wide."""
_DPI = 100
"""Rows of an image that an inch shows."""
_LISTED = 40
"""Structures that a legend names."""
_NAME = 28
"""Letters of a name in a legend."""
_LETTER, _LINE = 0.062, 0.17
"""Inches that a letter and a line of a legend take."""


@dataclass(frozen=True)
class ShownSlice:
    """A slice of a case as it is drawn, its arrays (rows, columns)."""

    said: str
    """Beside it."""
    image: npt.NDArray[np.float32]
    """0 black to 1 white."""
    reference: npt.NDArray[Any] | None
    """Values of structures; None where there is no reference."""
    prediction: npt.NDArray[Any]
    axis: int
    """It was taken across this canonical axis."""
    spacing_mm: tuple[float, ...]
    """Voxel size (Z, Y, X)."""

    @property
    def wide(self) -> float:
        """Its width in space over its height."""
        rows, columns = in_plane(self.axis)
        height, width = self.image.shape
        return float(width * self.spacing_mm[columns] / (height * self.spacing_mm[rows]))

    def panels(self, structures: Sequence[Structure]) -> list[tuple[str, npt.NDArray[np.float32] | None]]:
        """(name, colours (rows, columns, RGBA) over the image) of each panel."""
        panels: list[tuple[str, npt.NDArray[np.float32] | None]] = [("image", None)]
        if self.reference is not None:
            panels.append(("reference", coloured(self.reference, structures)))
        panels.append(("prediction", coloured(self.prediction, structures)))
        if self.reference is not None:
            panels.append(("error", coloured_errors(self.reference, self.prediction)))
        return panels


def write_slices(
    path: Path, slices: Sequence[ShownSlice], structures: Sequence[Structure], entries: Sequence[Entry], title: str
) -> None:
    """Write the slices with their panels and a legend.

    Args:
        path: the picture; the suffix says the format.
        slices: at least one, all with a reference or all without.
        structures: what is drawn over the images.
        entries: the legend, at the right.
        title: above the picture; may be empty.

    Raises:
        OutputError: the picture cannot be written.
    """
    names = [name for name, _ in slices[0].panels(())]
    beside = len(slices) > len(names)  # slices side by side, panels one below the other
    wide = float(np.median([one.wide for one in slices]))
    tall = min(max(_PANEL_INCH, max(len(one.image) for one in slices) / _DPI), _TALLEST)
    width = min(max(tall * wide, _NARROWEST), _WIDEST)
    height = min(tall, max(width / wide, _NARROWEST))
    rows, columns = (len(names), len(slices)) if beside else (len(slices), len(names))
    heading = _wrapped(title, columns * width + 0.5, 0.075)
    inches = rows * height + 0.35 + 0.17 * (heading.count("\n") + 1)
    figure = new_figure(columns * width + 0.5 + legend_width(entries, inches), inches)
    table = figure.subplots(rows, columns, squeeze=False)
    for place, one in enumerate(slices):
        for number, (name, colours) in enumerate(one.panels(structures)):
            axes = table[number, place] if beside else table[place, number]
            _draw(axes, one, colours)
            above, aside = (one.said, name) if beside else (name, one.said)
            if axes in table[0]:
                axes.set_title(above, fontsize=8, parse_math=False)
            if axes in table[:, 0]:
                axes.set_ylabel(aside, fontsize=7, parse_math=False)
    add_legend(figure, entries, inches)
    if heading:
        figure.suptitle(heading, fontsize=10, parse_math=False)  # a name may hold two dollar signs
    save_figure(figure, path)


def _draw(axes: Axes, one: ShownSlice, colours: npt.NDArray[np.float32] | None) -> None:
    """One panel: the image, and what is laid over it."""
    placement = placement_of(one.axis, one.spacing_mm)
    axes.imshow(one.image, cmap="gray", vmin=0, vmax=1, **placement)
    if colours is not None:
        axes.imshow(colours, **placement)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def add_legend(figure: Figure, entries: Sequence[Entry], height_inch: float) -> None:
    """The entries at the right, in as many columns as a figure of this height takes."""
    from matplotlib.patches import Patch

    if entries:
        handles = [
            Patch(alpha=0, label=_plain(text)) if colour is None else Patch(color=colour, label=_plain(text))
            for colour, text in entries
        ]
        columns = _legend_columns(entries, height_inch)
        figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8, ncols=columns)


def structure_entries(structures: Sequence[Structure], notes: Sequence[str] = ()) -> list[Entry]:
    """Of a legend: the structures in their colours, each with its note behind its name, as far as there is room."""
    said = notes or [""] * len(structures)
    entries: list[Entry] = [
        (hex_colour(one), f"{shortened(one.name)}  {note}".rstrip())
        for one, note in list(zip(structures, said, strict=True))[:_LISTED]
    ]
    if len(structures) > _LISTED:
        entries.append((None, f"and {len(structures) - _LISTED} more"))
    return entries or [(None, "nothing found")]


def error_entries() -> list[Entry]:
    """Of a legend: the kinds of error, after an empty line."""
    return [(None, " "), *((colour, name) for name, colour in ERRORS)]


def coloured(plane: npt.NDArray[Any], structures: Sequence[Structure]) -> npt.NDArray[np.float32]:
    """Colours (rows, columns, RGBA) of the structures in a slice: see-through inside, opaque along their borders."""
    colours = np.zeros((*plane.shape, 4), np.float32)
    border = border_of(plane)
    for one in structures:
        inside = plane == one.value
        colours[inside, :3] = np.asarray(one.colour, np.float32) / 255
        colours[inside, 3] = np.where(border[inside], _OUTLINE, _FILL)
    return colours


def coloured_errors(reference: npt.NDArray[Any], prediction: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Colours (rows, columns, RGBA) of what is wrong, by its kind; both masks hold drawn values alone, else 0."""
    colours = np.zeros((*reference.shape, 4), np.float32)
    wrong = reference != prediction
    kinds = (reference == 0, prediction == 0, (reference != 0) & (prediction != 0))
    for (_, colour), kind in zip(ERRORS, kinds, strict=True):
        colours[wrong & kind] = (*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)), _WRONG)
    return colours


def border_of(plane: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which pixels have another value beside them, above, below, left or right."""
    padded = np.pad(plane, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    found: npt.NDArray[np.bool_] = np.logical_or.reduce([inner != other for other in beside])
    return found


def placement_of(axis: int, spacing_mm: tuple[float, ...]) -> dict[str, Any]:
    """How a slice across a canonical `axis` is laid into its panel."""
    rows, columns = in_plane(axis)
    return {
        # Z grows to superior: row 0 at the bottom. Y grows to posterior: row 0 at the top of an axial view.
        "origin": "upper" if axis == 0 else "lower",
        "aspect": spacing_mm[rows] / spacing_mm[columns],
        "interpolation": "nearest",
    }


def in_plane(axis: int) -> tuple[int, int]:
    """The axes of the rows and of the columns of a slice across `axis`."""
    rows, columns = (other for other in range(3) if other != axis)
    return rows, columns


def windowed(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The 1st to 99th percentile spread over 0 to 1; what is not finite is black."""
    known = np.where(np.isfinite(values), values, 0).astype(np.float32)
    low, high = (float(value) for value in np.percentile(known, (1, 99)))
    return np.asarray(np.clip((known - low) / max(high - low, 1e-6), 0, 1), np.float32)


def slices_through(mask: npt.NDArray[Any], axis: int, count: int) -> list[int]:
    """`count` slices spread evenly through what a mask (Z, Y, X) holds, or through all of it where that is nothing."""
    held = np.flatnonzero((mask > 0).any(axis=in_plane(axis)))
    first, last = (int(held[0]), int(held[-1])) if len(held) else (0, mask.shape[axis] - 1)
    parts = (first + (last - first) * (place + 1) / (count + 1) for place in range(count))
    return sorted({round(part) for part in parts})


def hex_colour(structure: Structure) -> str:
    """Its colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*structure.colour)


def shortened(name: str, most: int = _NAME) -> str:
    """A name of at most so many letters; of a longer one the middle is left out: its end may tell it from others."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[len(name) - (most - most // 2 - 1) :]}"


def _plain(text: str) -> str:
    """A text of a legend as it stands: matplotlib reads `$` as formulas, and leaves out what begins with `_`."""
    escaped = text.replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped


def _legend_columns(entries: Sequence[Entry], height_inch: float) -> int:
    return -(-len(entries) // max(1, int((height_inch - 0.3) / _LINE)))


def legend_width(entries: Sequence[Entry], height_inch: float) -> float:
    """Inches that the legend takes beside the panels."""
    longest = max((len(text) for _, text in entries), default=0)
    return _legend_columns(entries, height_inch) * (0.55 + _LETTER * longest) if entries else 0.0


def _wrapped(title: str, width_inch: float, letter_inch: float) -> str:
    """The title in lines that fit above the panels; a name without a space is broken where it has to be."""
    return "\n".join(textwrap.wrap(title, max(20, int(width_inch / letter_inch))))
