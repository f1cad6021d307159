"""Pictures: the course of a training, and image, reference and prediction side by side.

They are drawn on a `canvas`, which loads matplotlib and writes files.
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

from autospine.data.structure import in_a_class
from autospine.errors import DataError
from autospine.report.canvas import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Labels = tuple[tuple[str, int], ...]
CHANNELS_SHOWN = 3
"""Channels that a contact sheet shows."""

# Told apart on grey, neighbours in the list in hue and lightness: neighbouring vertebrae have neighbouring values.
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


def side_by_side(
    image: npt.NDArray[Any],
    reference: npt.NDArray[Any] | None,
    prediction: npt.NDArray[Any] | None,
    spacing_mm: tuple[float, ...],
    path: Path,
    title: str,
    labels: Labels,
    axis: int,
) -> None:
    """Writes one slice as image | reference | prediction with coloured classes and a legend.

    Args:
        image: intensities (Z, Y, X), canonical: Z to superior, Y to posterior, X to the left.
        reference: labels (Z, Y, X), or None: left out.
        prediction: labels (Z, Y, X), or None: left out.
        spacing_mm: voxel size (Z, Y, X).
        path: the picture; the suffix says the format.
        title: above the picture; may be empty.
        labels: (name, value in the arrays) of the classes that are drawn.
        axis: slices are taken across this axis (0 axial, 1 coronal, 2 sagittal). The one with most reference (or else
            predicted) foreground is shown, the middle one if none.

    Raises:
        ValueError: the arrays differ in shape.
        OutputError: the picture cannot be written.
    """
    masks = [(name, mask) for name, mask in (("reference", reference), ("prediction", prediction)) if mask is not None]
    if image.ndim != 3 or any(mask.shape != image.shape for _, mask in masks):
        raise ValueError(f"image {image.shape} and masks {[mask.shape for _, mask in masks]} differ in shape")
    index = _best_slice([mask for _, mask in masks], image.shape[axis], axis)
    rows_axis, columns_axis = (other for other in range(3) if other != axis)
    height_mm = image.shape[rows_axis] * spacing_mm[rows_axis]
    width_mm = image.shape[columns_axis] * spacing_mm[columns_axis]
    panel_height = 5.5
    panel_width = min(max(panel_height * width_mm / height_mm, 2.2), 9.0)
    panels = 1 + len(masks)
    figure = new_figure(panels * panel_width + (1.4 if labels else 0.2), panel_height + 0.8)
    all_axes = figure.subplots(1, panels, squeeze=False)[0]

    grey = windowed(np.take(image, index, axis=axis))
    placement = placement_of(axis, spacing_mm)
    for axes, name in zip(all_axes, ["image", *(name for name, _ in masks)], strict=True):
        axes.imshow(grey, cmap="gray", vmin=0, vmax=1, **placement)
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
    for axes, (_, mask) in zip(all_axes[1:], masks, strict=True):
        axes.imshow(_overlay(np.take(mask, index, axis=axis), labels), **placement)
    _add_legend(figure, labels)
    where = f"slice {index} of axis {'ZYX'[axis]}"
    figure.suptitle(f"{title} · {where}" if title else where)
    save_figure(figure, path)


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
    figure = new_figure(2.6 * panels + (1.6 if labels else 0.2), 2.7 * len(rows) + 0.6)
    table = figure.subplots(len(rows), panels, squeeze=False)
    for number, (row, axes_of_row) in enumerate(zip(rows, table, strict=True)):
        axis = row.axis
        index = _best_slice([] if row.label is None else [row.label], row.image.shape[1 + axis], axis)
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
                axes.set_title(name, fontsize=9)
        axes_of_row[0].set_ylabel(row.name, fontsize=8)
        if row.label is None:
            axes_of_row[-1].set_xlabel("no mask", fontsize=8)
        else:
            axes_of_row[-1].imshow(_overlay(np.take(row.label, index, axis=axis), labels), **placement)
    _add_legend(figure, labels)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def class_colour(index: int) -> str:
    """Colour of the class at `index` (from 0) as `#rrggbb`: ten chosen ones, then hues a golden angle apart."""
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


def _best_slice(masks: list[npt.NDArray[Any]], size: int, axis: int) -> int:
    """Index of the slice with most foreground in the first mask that has any, else the middle one."""
    others = tuple(other for other in range(3) if other != axis)
    for mask in masks:
        counts = np.count_nonzero(in_a_class(mask), axis=others)
        if counts.any():
            return int(np.argmax(counts))
    return size // 2


def placement_of(axis: int, spacing_mm: tuple[float, ...]) -> dict[str, Any]:
    """How a slice across `axis` is laid into its panel."""
    rows_axis, columns_axis = (other for other in range(3) if other != axis)
    return {
        # Z grows to superior: row 0 at the bottom. Y grows to posterior: row 0 at the top of an axial view.
        "origin": "upper" if axis == 0 else "lower",
        "aspect": spacing_mm[rows_axis] / spacing_mm[columns_axis],
        "interpolation": "nearest",
    }


def windowed(plane: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The slice with its 1st to 99th percentile spread over 0 to 1; what is not finite is black."""
    values = np.where(np.isfinite(plane), plane, 0).astype(np.float32)
    low, high = (float(value) for value in np.percentile(values, (1, 99)))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), np.float32)


def _overlay(plane: npt.NDArray[Any], labels: Labels) -> npt.NDArray[np.float32]:
    """Half transparent colours (rows, columns, RGBA) of the classes, clear elsewhere."""
    colours = np.zeros((*plane.shape, 4), np.float32)
    for index, (_, value) in enumerate(labels):
        colour = class_colour(index)
        colours[plane == value] = (*(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)), 0.55)
    return colours


def _add_legend(figure: Figure, labels: Labels) -> None:
    """The classes with their colours, at the right."""
    from matplotlib.patches import Patch

    if labels:
        handles = [Patch(color=class_colour(index), label=name) for index, (name, _) in enumerate(labels)]
        figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=9)
