"""Pictures: the course of a training, and the first cases of a data set with their masks.

They are drawn on a `canvas`, which loads matplotlib and writes files, and masks as `panels` draws them everywhere.
"""

from __future__ import annotations

import colorsys
import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from autospine.data.codes.structures import structures_of
from autospine.data.structure import in_a_class
from autospine.errors import DataError
from autospine.report.canvas import new_figure, save_figure
from autospine.report.panels import (
    Labels,
    add_legend,
    coloured,
    in_plane,
    legend_width,
    placement_of,
    structure_entries,
    windowed,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANNELS_SHOWN = 3
"""Channels that a contact sheet shows."""

# Of curves: neighbours in the list differ in hue and lightness, since neighbouring vertebrae have neighbouring values.
_COLOURS = (
    *("#e6194b", "#3cb44b", "#ffe119", "#4e7bff", "#f032e6"),
    *("#42d4f4", "#f58231", "#bfef45", "#fabed4", "#00a08a"),
)


def plot_history(csv_path: Path, png_path: Path) -> None:
    """Writes the training curves of a history.csv: losses, Dice per class, learning rate over epochs.

    Columns: epoch, step, seconds, learning_rate, train_loss, validation_loss, dice_<class>..., dice_mean. Cells that
    are empty or not numbers are gaps in their curve; one row is drawn as points.

    Raises:
        DataError: the file is missing or has no `epoch` column.
        OutputError: the picture cannot be written.
    """
    columns = read_history(csv_path)
    epochs = columns.pop("epoch")
    figure = new_figure(9, 8)
    loss_axes, dice_axes, rate_axes = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))

    for name, label in (("train_loss", "training"), ("validation_loss", "validation")):
        _curve(loss_axes, epochs, columns.get(name), label)
    loss_axes.set_ylabel("loss")
    for index, name in enumerate(name for name in columns if name.startswith("dice_") and name != "dice_mean"):
        _curve(dice_axes, epochs, columns[name], name.removeprefix("dice_"), color=class_colour(index), linewidth=1)
    _curve(dice_axes, epochs, columns.get("dice_mean"), "mean", color="black", linewidth=2)
    dice_axes.set_ylabel("Dice (patches)")
    dice_axes.set_ylim(-0.02, 1.02)
    _curve(rate_axes, epochs, columns.get("learning_rate"), "learning rate", color="grey")
    rate_axes.set_ylabel("learning rate")
    rate_axes.set_ylim(bottom=0)
    rate_axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    rate_axes.set_xlabel("epoch")
    rate_axes.xaxis.get_major_locator().set_params(integer=True)
    if len(epochs) == 1 and math.isfinite(epochs[0]):  # a lone point would be given ticks between the epochs
        rate_axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    for axes in (loss_axes, dice_axes, rate_axes):
        axes.grid(alpha=0.3)
        if axes is not rate_axes and axes.get_legend_handles_labels()[1]:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    save_figure(figure, png_path)


@dataclass(frozen=True)
class SheetRow:
    """A case of a contact sheet, canonical."""

    name: str
    image: npt.NDArray[Any]
    """(C, Z, Y, X)."""
    label: npt.NDArray[Any] | None
    """(Z, Y, X); None without a mask."""
    spacing_mm: tuple[float, float, float]
    axis: int
    """Slices are taken across this axis."""
    missing: tuple[int, ...] = ()
    """Channels, from 0, that the case lacks."""


def contact_sheet(rows: Sequence[SheetRow], channels: Sequence[str], labels: Labels, path: Path, title: str) -> None:
    """Writes a row per case: one slice of each of the first channels, then the first with the mask on it.

    The slice is the one with most of the mask.

    Args:
        rows: the cases, at least one.
        channels: names of the channels, of which `CHANNELS_SHOWN` are shown.
        labels: (name, value in the masks) of the classes.
        path: the picture; the suffix says the format.
        title: above the picture.

    Raises:
        OutputError: the picture cannot be written.
    """
    shown = channels[:CHANNELS_SHOWN]
    panels = len(shown) + 1
    structures, height = structures_of(labels), 2.7 * len(rows) + 0.6
    entries = structure_entries(structures) if structures else []
    figure = new_figure(2.6 * panels + 0.2 + legend_width(entries, height), height)
    table = figure.subplots(len(rows), panels, squeeze=False)
    for number, (row, axes_of_row) in enumerate(zip(rows, table, strict=True)):
        axis = row.axis
        index = _best_slice(row.label, row.image.shape[1 + axis], axis)
        planes = [windowed(np.take(channel, index, axis=axis)) for channel in row.image[:CHANNELS_SHOWN]]
        # the mask lies on the first channel that there is
        below = next((plane for place, plane in enumerate(planes) if place not in row.missing), planes[0])
        placement = placement_of(axis, row.spacing_mm)
        for place, (axes, name, plane) in enumerate(zip(axes_of_row, (*shown, "mask"), [*planes, below], strict=True)):
            if place in row.missing and place < len(shown):
                axes.set_xlabel("missing", fontsize=8)
            axes.imshow(plane, cmap="gray", vmin=0, vmax=1, **placement)
            axes.set_xticks([])
            axes.set_yticks([])
            if number == 0:
                axes.set_title(name, fontsize=9, parse_math=False)
        axes_of_row[0].set_ylabel(row.name, fontsize=8, parse_math=False)
        if row.label is None:
            axes_of_row[-1].set_xlabel("no mask", fontsize=8)
        else:
            axes_of_row[-1].imshow(coloured(np.take(row.label, index, axis=axis), structures), **placement)
    add_legend(figure, entries, height)
    figure.suptitle(title, fontsize=11, parse_math=False)
    save_figure(figure, path)


def class_colour(index: int) -> str:
    """Colour of a class's curve, by its `index` from 0, as `#rrggbb`: ten chosen ones, then hues far apart."""
    if index < len(_COLOURS):
        return _COLOURS[index]
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1.0, 0.65 if index % 2 else 0.95, 0.95)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def read_history(csv_path: Path) -> dict[str, list[float]]:
    """Columns of a history.csv as floats; NaN where a cell is empty or not a number.

    Raises:
        DataError: it cannot be read, or has no column `epoch`.
    """
    try:
        with csv_path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(csv_path), f"cannot be read ({error})", "a training history", "train first") from error
    if "epoch" not in names:
        raise DataError(str(csv_path), "has no column `epoch`", "a training history", "delete it and train again")
    return {name: [_number(row[name]) for row in rows] for name in names}


def _number(text: str | None) -> float:
    """The number in a cell, NaN if there is none."""
    try:
        return float(text) if text else math.nan
    except ValueError:
        return math.nan


def _curve(axes: Axes, epochs: list[float], values: list[float] | None, label: str, **style: Any) -> None:
    """Draws a curve, with points while they are few; nothing where there is no number to draw."""
    if values is None or not any(math.isfinite(value) for value in values):
        return
    axes.plot(epochs, values, label=label, marker="o" if len(values) <= 30 else "", markersize=3, **style)


def _best_slice(mask: npt.NDArray[Any] | None, size: int, axis: int) -> int:
    """Index of the slice with most foreground in the mask; the middle one of `size` where there is none."""
    if mask is not None:
        counts = np.count_nonzero(in_a_class(mask), axis=in_plane(axis))
        if counts.any():
            return int(np.argmax(counts))
    return size // 2
