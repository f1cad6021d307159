"""Overlap and surface distance of one class in one case: arrays in, numbers out.

All counts are voxels, all distances millimetres; what `EMPTY_RULE` leaves out is NaN here. Work is done inside the box
that holds both masks, the whole volume is only counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.box import box_around

BoolArray = npt.NDArray[np.bool_]

EMPTY_RULE = (
    "A class absent from both prediction and reference is left out (null); absent from one of them it scores 0 in "
    "Dice, IoU, precision and sensitivity, and its HD95 is left out (null)."
)


@dataclass(frozen=True)
class ClassMetrics:
    """Agreement of prediction and reference for one class; ratios are 0 to 1 or NaN by the empty rule."""

    dice: float
    """2 TP / (2 TP + FP + FN)."""
    iou: float
    """TP / (TP + FP + FN)."""
    precision: float
    """TP / (TP + FP)."""
    sensitivity: float
    """TP / (TP + FN)."""
    specificity: float
    """TN / (TN + FP) over the whole volume; NaN if the reference fills the volume."""
    hd95_mm: float
    """95th percentile Hausdorff distance."""
    reference_voxels: int
    """Voxels of the class in the reference."""
    predicted_voxels: int
    """Voxels of the class in the prediction."""


METRICS = ("dice", "iou", "precision", "sensitivity", "specificity", "hd95_mm")
"""The fields of `ClassMetrics` that are averaged."""


def belongs(labels: npt.NDArray[Any], label: int | tuple[int, ...]) -> BoolArray:
    """Which voxels of `labels` are of the class, or of one of the classes of the region, `label`."""
    held: BoolArray = labels == label if isinstance(label, int) else np.isin(labels, label)
    return held


def class_metrics(
    prediction: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    label: int | tuple[int, ...],
    spacing_mm: tuple[float, ...],
) -> ClassMetrics:
    """Metrics of the class or region `label`.

    Args:
        prediction: labels (Z, Y, X).
        reference: labels (Z, Y, X), the same shape.
        label: the value that marks the class in both, or those of the classes in a region.
        spacing_mm: voxel size per axis (Z, Y, X).

    Raises:
        ValueError: the shapes differ, or the spacing is not one positive number per axis.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
    if len(spacing_mm) != reference.ndim or min(spacing_mm) <= 0:
        raise ValueError(f"spacing {spacing_mm} is not one positive number for each of {reference.ndim} axes")
    predicted, expected = belongs(prediction, label), belongs(reference, label)
    predicted_voxels, reference_voxels = int(np.count_nonzero(predicted)), int(np.count_nonzero(expected))
    if predicted_voxels == 0 and reference_voxels == 0:
        return ClassMetrics(**dict.fromkeys(METRICS, math.nan), reference_voxels=0, predicted_voxels=0)

    box = box_around(predicted | expected)
    inner_predicted, inner_expected = predicted[box], expected[box]
    both = int(np.count_nonzero(inner_predicted & inner_expected))
    negatives = reference.size - reference_voxels
    return ClassMetrics(
        dice=2 * both / (predicted_voxels + reference_voxels),
        iou=both / (predicted_voxels + reference_voxels - both),
        precision=both / predicted_voxels if predicted_voxels else 0.0,
        sensitivity=both / reference_voxels if reference_voxels else 0.0,
        specificity=1 - (predicted_voxels - both) / negatives if negatives else math.nan,
        hd95_mm=_hd95_mm(inner_predicted, inner_expected, spacing_mm, reference.shape),
        reference_voxels=reference_voxels,
        predicted_voxels=predicted_voxels,
    )


def _hd95_mm(
    first: BoolArray, second: BoolArray, spacing_mm: tuple[float, ...], volume_shape: tuple[int, ...]
) -> float:
    """The larger of the two directed 95th percentiles of surface distance; NaN if either mask is empty.

    Distances run between centres of surface voxels. Taking the maximum of the directed percentiles, not the
    percentile of both sets together, keeps a small mask's errors from drowning in a large one's surface.
    `first` and `second` are the masks in their joint box. Axes along which the volume is one voxel thick have
    no surface of their own: a slice is measured by its outline.
    """
    if not first.any() or not second.any():
        return math.nan
    axes = tuple(axis for axis, size in enumerate(volume_shape) if size > 1)
    surface_first, surface_second = _surface(first, axes), _surface(second, axes)
    to_second = ndimage.distance_transform_edt(~surface_second, sampling=spacing_mm)[surface_first]
    to_first = ndimage.distance_transform_edt(~surface_first, sampling=spacing_mm)[surface_second]
    return float(max(np.percentile(to_second, 95), np.percentile(to_first, 95)))


def _surface(mask: BoolArray, axes: tuple[int, ...]) -> BoolArray:
    """The mask minus its erosion by the face neighbours along `axes`; what lies outside the array is background.

    Row 0 1 1 1 1 keeps 1 . . 1 at its two ends: the last voxel touches the border of the array.
    """
    if not axes:
        return mask
    inside = mask.copy()
    for axis in axes:
        moved = np.moveaxis(mask, axis, 0)
        target = np.moveaxis(inside, axis, 0)
        target[1:] &= moved[:-1]
        target[:-1] &= moved[1:]
        target[[0, -1]] = False
    return np.asarray(mask & ~inside)
