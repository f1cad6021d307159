"""Cases with what is wrong with them: image, reference, prediction and error, at the slices that show most of it.

A case by itself has up to three slices: the two with most error that lie apart, and the one with most of the reference.
A sheet has a row per case, at the slice with most error. Where structures fill a small part of the image, the picture
shows that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.box import box_around
from autospine.data.codes.structures import Structure, structures_of
from autospine.report.panels import (
    Entry,
    Labels,
    ShownSlice,
    error_entries,
    in_plane,
    slices_through,
    structure_entries,
    windowed,
    write_slices,
)

_SLICES = 3
_APART = 8
"""Slices with errors lie at least an eighth of the structures' extent apart: neighbours show the same error."""
_MARGIN, _MARGIN_MM = 0.35, 12.0
"""Around the structures: this share of their extent, and at least so many mm."""
_WHOLE = 0.7
"""Share of an axis from which on it is shown whole."""


@dataclass(frozen=True)
class CaseImage:
    """A case to be drawn, its arrays canonical (Z, Y, X): Z to superior, Y to posterior, X to the left."""

    image: npt.NDArray[Any]
    """Intensities."""
    reference: npt.NDArray[Any] | None
    """Values of `labels`, other values as if nothing were there; None without a reference."""
    prediction: npt.NDArray[Any]
    """Values likewise."""
    spacing_mm: tuple[float, ...]
    """Voxel size (Z, Y, X)."""
    labels: Labels
    """(name, value) of the structures."""
    axis: int
    """Slices are taken across this axis (0 axial, 1 coronal, 2 sagittal)."""
    ignored: int | None = None
    """Value in the reference of voxels that are not annotated: there nothing is right or wrong."""

    def __post_init__(self) -> None:
        """Raise `ValueError` where the arrays differ in shape."""
        masks = [mask.shape for mask in (self.reference, self.prediction) if mask is not None]
        if self.image.ndim != 3 or any(shape != self.image.shape for shape in masks):
            raise ValueError(f"image {self.image.shape} and masks {masks} differ in shape")

    def masks(self) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any]]:
        """Reference and prediction with nothing but values of `labels`, 0 where nothing is annotated."""
        values = [value for _, value in self.labels]
        prediction = np.where(np.isin(self.prediction, values), self.prediction, 0)
        if self.reference is None:
            return None, prediction
        if self.ignored is not None:
            prediction[self.reference == self.ignored] = 0
        return np.where(np.isin(self.reference, values), self.reference, 0), prediction


def write_case_picture(
    path: Path,
    image: npt.NDArray[Any],
    reference: npt.NDArray[Any] | None,
    prediction: npt.NDArray[Any],
    spacing_mm: tuple[float, ...],
    labels: Labels,
    axis: int,
    title: str,
    ignored: int | None = None,
) -> None:
    """Write image, reference, prediction and error side by side, a row per slice; the legend has each structure's Dice.

    Without a reference there are image and prediction, at slices spread through what was predicted.

    Args:
        path: the picture; the suffix says the format.
        image: intensities (Z, Y, X), canonical: Z to superior, Y to posterior, X to the left.
        reference: labels (Z, Y, X), or None: none is known.
        prediction: labels (Z, Y, X).
        spacing_mm: voxel size (Z, Y, X).
        labels: (name, value in the arrays) of the structures that are drawn.
        axis: slices are taken across this axis (0 axial, 1 coronal, 2 sagittal).
        title: above the picture; may be empty.
        ignored: value in the reference of voxels that are not annotated.

    Raises:
        ValueError: the arrays differ in shape.
        OutputError: the picture cannot be written.
    """
    case = CaseImage(image, reference, prediction, spacing_mm, labels, axis, ignored)
    expected, predicted = case.masks()
    if expected is None:
        chosen = slices_through(predicted, axis, _SLICES)
    else:
        chosen = telling_slices(expected, predicted, axis, _SLICES)
    structures, entries = _legend(case, expected, predicted)
    write_slices(path, _shown(case, expected, predicted, chosen), structures, entries, title)


def case_row(case: CaseImage, title: str) -> ShownSlice:
    """The slice of a case that a sheet shows, with what stands beside it; the arrays of the case can then be let go."""
    expected, predicted = case.masks()
    chosen = telling_slices(predicted if expected is None else expected, predicted, case.axis, 1)
    (row,) = _shown(case, expected, predicted, chosen, title)
    return row


def write_case_sheet(path: Path, rows: Sequence[ShownSlice], labels: Labels, title: str) -> None:
    """Write a sheet with a row per case, in the order of `rows` (at least one).

    Args:
        path: the picture; the suffix says the format.
        rows: what `case_row` gave, all with a reference or all without.
        labels: (name, value in the masks) of the structures.
        title: above the picture.

    Raises:
        OutputError: the picture cannot be written.
    """
    held = {
        int(value)
        for row in rows
        for mask in (row.reference, row.prediction)
        if mask is not None
        for value in np.unique(mask)
    }
    structures = structures_of(labels)
    entries = structure_entries([one for one in structures if one.value in held])
    if rows[0].reference is not None:
        entries += error_entries()
    write_slices(path, rows, structures, entries, title)


def telling_slices(reference: npt.NDArray[Any], prediction: npt.NDArray[Any], axis: int, count: int) -> list[int]:
    """Up to `count` slices, in their order: those with most error that lie apart, one of them with most structure.

    Of one slice alone it is that with most error. Where nothing is wrong, they are spread through the structures.

    Args:
        reference: labels (Z, Y, X), 0 where nothing is.
        prediction: labels (Z, Y, X) likewise.
        axis: across which slices are taken.
        count: how many at most.
    """
    plane = in_plane(axis)
    wrong = np.count_nonzero(reference != prediction, axis=plane)
    held = np.count_nonzero(reference, axis=plane)
    if not held.any():
        held = np.count_nonzero(prediction, axis=plane)
    if not wrong.any():
        return slices_through(reference, axis, count) if count > 1 else [_most(held)]
    there = np.flatnonzero(held + wrong)
    apart = max(1, int(there[-1] - there[0] + 1) // _APART)
    chosen = [_most(held)] if count > 1 else []
    for index in np.argsort(-wrong, kind="stable").tolist():
        # the first may lie where most of the structure is: then that slice says both
        if wrong[index] and len(chosen) < count and all(abs(index - other) >= apart for other in chosen):
            chosen.append(int(index))
    worst = int(np.argmax(wrong))
    if worst not in chosen:  # too near to the slice with most structure: it takes that one's place
        chosen[0] = worst
    return sorted(chosen)


def _most(counts: npt.NDArray[Any]) -> int:
    """The slice with most voxels; the middle one where none has any."""
    return int(np.argmax(counts)) if counts.any() else len(counts) // 2


def _shown(
    case: CaseImage,
    expected: npt.NDArray[Any] | None,
    predicted: npt.NDArray[Any],
    chosen: Sequence[int],
    title: str = "",
) -> list[ShownSlice]:
    """The chosen slices, all in the same part of the image and in the same grey."""
    axis, (rows, columns) = case.axis, in_plane(case.axis)
    view: list[Any] = [slice(None)] * 3
    if expected is not None:
        box = box_around((expected != 0) | (predicted != 0))
        for along in (rows, columns):
            view[along] = _around(box[along], case.image.shape[along], case.spacing_mm[along])
    part = tuple(view)
    grey = windowed(np.take(case.image[part], list(chosen), axis=axis))
    slices = []
    for place, index in enumerate(chosen):
        planes = [None if mask is None else np.take(mask[part], index, axis=axis) for mask in (expected, predicted)]
        said = [title] if title else []
        said.append(f"slice {index + 1} of {case.image.shape[axis]}")
        if expected is not None:
            wrong = np.count_nonzero(planes[0] != planes[1])
            said.append(f"{wrong} voxels wrong")
        of_slice = np.take(grey, place, axis=axis), planes[0], np.asarray(planes[1])
        slices.append(ShownSlice("\n".join(said), *of_slice, axis, case.spacing_mm))
    return slices


def _around(span: slice, size: int, spacing_mm: float) -> slice:
    """The part of an axis of `size` voxels around `span`, with a margin; all of it where that is most of it.

    A cord of 12 mm in an image of 190 mm would be a dot.
    """
    margin = round(max(_MARGIN * (span.stop - span.start), _MARGIN_MM / spacing_mm))
    low, high = max(0, span.start - margin), min(size, span.stop + margin)
    return slice(0, size) if high - low > _WHOLE * size else slice(low, high)


def _legend(
    case: CaseImage, expected: npt.NDArray[Any] | None, predicted: npt.NDArray[Any]
) -> tuple[tuple[Structure, ...], list[Entry]]:
    """All structures, and the legend of those that are there; with a reference it has their Dice."""
    structures = structures_of(case.labels)
    if expected is None:
        return structures, structure_entries([one for one in structures if (predicted == one.value).any()])
    there, notes = [], []
    for one in structures:
        mine, its = expected == one.value, predicted == one.value
        voxels = int(np.count_nonzero(mine)) + int(np.count_nonzero(its))
        if voxels:
            there.append(one)
            notes.append(f"{2 * np.count_nonzero(mine & its) / voxels:.3f}")
    return structures, [(None, "Dice"), *structure_entries(there, notes), *error_entries()]
