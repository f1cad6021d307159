"""How well one class was segmented in one case: overlap, volume and the distance of surfaces, as numbers.

All counts are voxels, all distances millimetres; what `EMPTY_RULE` leaves out is NaN here. `docs/metrics.md` has the
definitions side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from autospine.evaluation.label_pair import Counts, LabelPair, Value
from autospine.evaluation.surfaces import SurfaceDistances, surface_distances

EMPTY_RULE = (
    "A class absent from both prediction and reference is left out (null); absent from one of them it scores 0 in "
    "Dice, IoU, precision, sensitivity and surface Dice, its volume difference is all of its volume, and its HD95 and "
    "average surface distance are left out (null)."
)
TOLERANCE_MM = 1.0
"""Distance up to which surfaces count as the same in `surface_dice`, where nobody says another one: about a pixel of a
spine MR image (ours). Nikolov et al. 2021 take what two people who draw the same are apart, organ by organ."""


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
    """TN / (TN + FP) over all annotated voxels; NaN if the reference fills them."""
    accuracy: float
    """(TP + TN) / (TP + TN + FP + FN) over all annotated voxels."""
    hd95_mm: float
    """95th percentile Hausdorff distance of the surfaces; NaN where it was not asked for, as the next two."""
    asd_mm: float
    """Average surface distance, the mean of both directions."""
    surface_dice: float
    """Share of both surfaces that lies within the tolerance of the other one."""
    volume_difference_mm3: float
    """Volume of the prediction minus that of the reference."""
    reference_voxels: int
    """Voxels of the class in the reference."""
    predicted_voxels: int
    """Voxels of the class in the prediction."""
    shared_voxels: int
    """Voxels of the class in both."""


METRICS = (
    *("dice", "iou", "precision", "sensitivity", "specificity", "accuracy"),
    *("hd95_mm", "asd_mm", "surface_dice", "volume_difference_mm3"),
)
"""The fields of `ClassMetrics` that are averaged."""
DISTANCES = ("hd95_mm", "asd_mm", "surface_dice")
"""Those of `METRICS` that are distances of surfaces, or made of them."""


def class_metrics(
    prediction: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    label: Value,
    spacing_mm: tuple[float, ...],
    *,
    distances: bool = True,
    tolerance_mm: float = TOLERANCE_MM,
) -> ClassMetrics:
    """Metrics of the class or region `label`; of several classes of a case, `measure_class` is faster.

    Args:
        prediction: labels (Z, Y, X).
        reference: labels (Z, Y, X), the same shape.
        label: the value that marks the class in both, or those of the classes in a region.
        spacing_mm: voxel size per axis (Z, Y, X).
        distances: measure the surfaces, too.
        tolerance_mm: distance up to which surfaces count as the same.

    Raises:
        ValueError: the shapes differ, or the spacing is not one positive number per axis.
    """
    pair = LabelPair(prediction, reference)
    return measure_class(pair, label, spacing_mm, distances=distances, tolerance_mm=tolerance_mm)


def measure_class(
    pair: LabelPair,
    label: Value,
    spacing_mm: tuple[float, ...],
    *,
    distances: bool = True,
    tolerance_mm: float = TOLERANCE_MM,
) -> ClassMetrics:
    """As `class_metrics`, of label maps whose classes have been found."""
    if len(spacing_mm) != len(pair.shape) or min(spacing_mm) <= 0:
        raise ValueError(f"spacing {spacing_mm} is not one positive number for each of {len(pair.shape)} axes")
    counts, apart = pair.counts(label), None
    if distances and counts.predicted and counts.expected:
        masks = pair.masks(label)
        apart = surface_distances(masks.judged, masks.expected, spacing_mm, pair.axes)
    return _metrics(counts, math.prod(spacing_mm), _of_surfaces(counts, apart, tolerance_mm if distances else None))


def pooled_slices(slices: Sequence[ClassMetrics], annotated: Sequence[int]) -> ClassMetrics:
    """Metrics of a class in the case that `slices` make, of which each has so many `annotated` voxels.

    Voxels and volumes are added up, as if they lay in one volume. Distances run within a slice alone: they are means
    over the slices that have one, and so is the surface Dice.
    """
    shared, predicted, expected = (
        sum(getattr(one, key) for one in slices) for key in ("shared_voxels", "predicted_voxels", "reference_voxels")
    )
    pooled = _metrics(Counts(shared, predicted, expected, sum(annotated)), math.nan, (math.nan,) * 3)
    means = {key: mean_of_known([getattr(one, key) for one in slices]) for key in DISTANCES}
    volumes = [one.volume_difference_mm3 for one in slices if not math.isnan(one.volume_difference_mm3)]
    return ClassMetrics(
        **{**vars(pooled), **means, "volume_difference_mm3": math.fsum(volumes) if volumes else math.nan}
    )


def mean_of_known(values: Iterable[float]) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _of_surfaces(
    counts: Counts, apart: SurfaceDistances | None, tolerance_mm: float | None
) -> tuple[float, float, float]:
    """Of `DISTANCES` each, by the empty rule; without a tolerance none was asked for."""
    if tolerance_mm is None:
        return math.nan, math.nan, math.nan
    if apart is None:
        return math.nan, math.nan, 0.0 if counts.predicted or counts.expected else math.nan
    return apart.hausdorff_mm(), apart.average_mm(), apart.within(tolerance_mm)


def _metrics(counts: Counts, voxel_mm3: float, surfaces: tuple[float, float, float]) -> ClassMetrics:
    """The metrics that `counts` make, and those of the surfaces, which are known."""
    both, predicted, expected = counts.both, counts.predicted, counts.expected
    if predicted == 0 and expected == 0:
        nothing = dict.fromkeys(METRICS, math.nan)
        return ClassMetrics(**nothing, reference_voxels=0, predicted_voxels=0, shared_voxels=0)
    negatives, wrong = counts.annotated - expected, predicted + expected - 2 * both
    hd95_mm, asd_mm, surface_dice = surfaces
    return ClassMetrics(
        dice=2 * both / (predicted + expected),
        iou=both / (predicted + expected - both),
        precision=both / predicted if predicted else 0.0,
        sensitivity=both / expected if expected else 0.0,
        specificity=1 - (predicted - both) / negatives if negatives else math.nan,
        accuracy=1 - wrong / counts.annotated,
        hd95_mm=hd95_mm,
        asd_mm=asd_mm,
        surface_dice=surface_dice,
        volume_difference_mm3=(predicted - expected) * voxel_mm3,
        reference_voxels=expected,
        predicted_voxels=predicted,
        shared_voxels=both,
    )
