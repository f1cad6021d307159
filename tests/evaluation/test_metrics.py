"""Metrics of one class: numbers by hand, the empty rule, what is not annotated, symmetry, slices of a case."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.evaluation.label_pair import LabelPair
from autospine.evaluation.metrics import METRICS, ClassMetrics, class_metrics, measure_class, pooled_slices

SPACING = (4.0, 2.0, 0.5)


def box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> np.ndarray:
    """A volume of zeros with ones in a box."""
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(*bounds) for bounds in ranges)] = 1
    return array


def test_two_offset_boxes_by_hand() -> None:
    # Reference 2 x 4 x 6 = 48 voxels; the prediction is moved by one voxel along Y: 2 x 3 x 6 = 36 in common.
    shape = (5, 10, 12)
    reference = box(shape, (1, 3), (2, 6), (3, 9)) * 3
    prediction = box(shape, (1, 3), (3, 7), (3, 9)) * 3
    metrics = class_metrics(prediction, reference, 3, SPACING)
    assert (metrics.reference_voxels, metrics.predicted_voxels) == (48, 48)
    assert metrics.dice == pytest.approx(72 / 96)
    assert metrics.iou == pytest.approx(36 / 60)
    assert metrics.precision == pytest.approx(36 / 48)
    assert metrics.sensitivity == pytest.approx(36 / 48)
    assert metrics.specificity == pytest.approx(540 / 552)  # 600 - 48 negatives, 12 of them taken for the class
    assert metrics.accuracy == pytest.approx(576 / 600)
    assert metrics.volume_difference_mm3 == 0.0
    # One of the four long sides lies 2 mm from the other box: more than a twentieth of the surface.
    assert metrics.hd95_mm == pytest.approx(2.0)
    assert 0 < metrics.asd_mm < 1.0


@pytest.mark.parametrize(("axis", "expected"), [(0, 4.0), (1, 2.0), (2, 0.5)])
def test_spacing_belongs_to_its_axis(axis: int, expected: float) -> None:
    reference = box((6, 6, 6), (2, 3), (2, 3), (2, 3))
    assert class_metrics(np.roll(reference, 1, axis), reference, 1, SPACING).hd95_mm == pytest.approx(expected)


def test_precision_and_sensitivity_are_not_swapped() -> None:
    reference = box((4, 4, 4), (0, 2), (0, 2), (0, 2))
    prediction = box((4, 4, 4), (0, 2), (0, 2), (0, 1))
    metrics = class_metrics(prediction, reference, 1, SPACING)
    assert (metrics.precision, metrics.sensitivity, metrics.specificity) == (1.0, 0.5, 1.0)
    assert metrics.dice == pytest.approx(8 / 12)


def test_a_perfect_prediction_touching_the_border() -> None:
    mask = box((4, 5, 6), (0, 4), (0, 5), (2, 6))
    metrics = class_metrics(mask, mask, 1, SPACING)
    assert (metrics.dice, metrics.iou, metrics.specificity, metrics.hd95_mm) == (1.0, 1.0, 1.0, 0.0)
    assert (metrics.asd_mm, metrics.surface_dice, metrics.accuracy, metrics.volume_difference_mm3) == (0.0, 1.0, 1.0, 0)


def test_the_95th_percentile_forgives_one_far_voxel_of_many() -> None:
    reference = box((1, 20, 20), (0, 1), (0, 10), (0, 10))
    prediction = reference.copy()
    reference[0, :, :12] = prediction[0, :, :12] = 1
    prediction[0, 19, 19] = 1  # 2.8 of 66 mm of contour: beyond the 95th percentile
    assert class_metrics(prediction, reference, 1, (1.0, 1.0, 1.0)).hd95_mm == 0.0


def test_a_slice_is_measured_by_its_contour() -> None:
    reference = box((1, 9, 9), (0, 1), (0, 9), (0, 9))
    prediction = box((1, 9, 9), (0, 1), (3, 6), (3, 6))
    metrics = class_metrics(prediction, reference, 1, (7.0, 1.0, 1.0))
    # 3 pixels from side to side; from the outer corners, and one and two pixels beside them, farther
    assert 3.0 < metrics.hd95_mm <= math.hypot(3, 3)
    assert metrics.volume_difference_mm3 == (9 - 81) * 7.0


def test_the_tolerance_is_that_of_the_surface_dice() -> None:
    reference, prediction = box((9, 9, 9), (2, 7), (2, 7), (2, 7)), box((9, 9, 9), (2, 7), (2, 7), (3, 8))
    near, far = (class_metrics(prediction, reference, 1, SPACING, tolerance_mm=held) for held in (0.4, 0.5))
    assert near.surface_dice < 1.0 == far.surface_dice
    assert near.hd95_mm == far.hd95_mm == 0.5


def test_without_distances_all_else_is_the_same() -> None:
    reference, prediction = box((9, 9, 9), (2, 7), (2, 7), (2, 7)), box((9, 9, 9), (2, 7), (2, 7), (3, 8))
    whole, quick = (class_metrics(prediction, reference, 1, SPACING, distances=held) for held in (True, False))
    assert math.isnan(quick.hd95_mm) and math.isnan(quick.asd_mm) and math.isnan(quick.surface_dice)
    assert (quick.dice, quick.accuracy, quick.shared_voxels) == (whole.dice, whole.accuracy, whole.shared_voxels)


def test_what_is_not_annotated_counts_for_nothing() -> None:
    """100 voxels, 40 of them not annotated; of the class 10 are right, 5 missed, 5 false, 20 predicted in the dark."""
    reference, prediction = np.zeros((1, 10, 10), np.uint8), np.zeros((1, 10, 10), np.uint8)
    reference[0, 6:], prediction[0, 8:] = 255, 1
    reference[0, 0], reference[0, 1, :5] = 1, 1
    prediction[0, 0], prediction[0, 1, 5:] = 1, 1
    metrics = measure_class(LabelPair(prediction, reference, 255), 1, SPACING)
    assert (metrics.reference_voxels, metrics.predicted_voxels, metrics.shared_voxels) == (15, 15, 10)
    assert metrics.dice == pytest.approx(20 / 30)
    assert metrics.specificity == pytest.approx(40 / 45)
    assert metrics.accuracy == pytest.approx(50 / 60)
    alone = class_metrics(
        np.where(reference == 255, 0, prediction), np.where(reference == 255, 0, reference), 1, SPACING
    )
    assert metrics.hd95_mm == alone.hd95_mm


def test_slices_are_pooled_as_if_they_lay_in_one_volume() -> None:
    rng = np.random.default_rng(0)
    prediction, reference = (rng.integers(0, 2, (4, 6, 7)).astype(np.uint8) for _ in range(2))
    prediction[3], reference[3] = 0, 0
    spacing = (1.0, 0.5, 0.8)
    slices = [
        class_metrics(one[None], other[None], 1, spacing) for one, other in zip(prediction, reference, strict=True)
    ]
    pooled, whole = pooled_slices(slices, [42] * 4), class_metrics(prediction, reference, 1, spacing)
    for key in ("dice", "iou", "precision", "sensitivity", "specificity", "accuracy", "volume_difference_mm3"):
        assert getattr(pooled, key) == pytest.approx(getattr(whole, key)), key
    assert pooled.asd_mm == pytest.approx(np.mean([one.asd_mm for one in slices[:3]]))
    assert (pooled.reference_voxels, pooled.shared_voxels) == (whole.reference_voxels, whole.shared_voxels)
    nothing = pooled_slices(slices[3:], [42])
    assert all(math.isnan(getattr(nothing, key)) for key in METRICS)


def test_absent_from_both_says_nothing() -> None:
    empty = np.zeros((3, 3, 3), np.uint8)
    metrics = class_metrics(empty, empty, 1, SPACING)
    assert all(math.isnan(getattr(metrics, key)) for key in METRICS)
    assert (metrics.reference_voxels, metrics.predicted_voxels) == (0, 0)


@pytest.mark.parametrize("missed", [True, False])
def test_absent_from_one_scores_zero(missed: bool) -> None:
    empty, full = np.zeros((3, 3, 3), np.uint8), box((3, 3, 3), (0, 1), (0, 3), (0, 3))
    metrics = class_metrics(empty, full, 1, SPACING) if missed else class_metrics(full, empty, 1, SPACING)
    assert (metrics.dice, metrics.iou, metrics.precision, metrics.sensitivity) == (0, 0, 0, 0)
    assert metrics.specificity == pytest.approx(1.0 if missed else 18 / 27)
    assert math.isnan(metrics.hd95_mm) and math.isnan(metrics.asd_mm) and metrics.surface_dice == 0.0
    assert metrics.volume_difference_mm3 == (-9 if missed else 9) * math.prod(SPACING)


def test_a_reference_that_fills_the_volume_has_no_specificity() -> None:
    full = np.ones((2, 2, 2), np.uint8)
    assert math.isnan(class_metrics(full, full, 1, SPACING).specificity)


def test_shapes_and_spacing_are_checked() -> None:
    mask = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(ValueError, match="shape"):
        class_metrics(mask, mask[:1], 1, SPACING)
    with pytest.raises(ValueError, match="spacing"):
        class_metrics(mask, mask, 1, (1.0, 1.0))


def symmetric(metrics: ClassMetrics) -> tuple[float, ...]:
    return tuple(getattr(metrics, key) for key in ("dice", "iou", "accuracy", "hd95_mm", "asd_mm", "surface_dice"))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9))
def test_prediction_and_reference_change_places(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    a = (rng.random((4, 6, 7)) < share).astype(np.uint8)
    b = (rng.random((4, 6, 7)) < 0.4).astype(np.uint8)
    a[1, 2, 3] = b[2, 3, 4] = 1
    there, back = class_metrics(a, b, 1, SPACING), class_metrics(b, a, 1, SPACING)
    assert symmetric(there) == pytest.approx(symmetric(back))
    assert (there.precision, there.sensitivity) == pytest.approx((back.sensitivity, back.precision))
    assert there.volume_difference_mm3 == -back.volume_difference_mm3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations([0, 1, 2]))
def test_metrics_do_not_depend_on_the_order_of_the_axes(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 3, (4, 5, 6)).astype(np.uint8) for _ in range(2))
    moved = class_metrics(a.transpose(order), b.transpose(order), 2, tuple(SPACING[axis] for axis in order))
    assert moved.hd95_mm == pytest.approx(class_metrics(a, b, 2, SPACING).hd95_mm)
    assert moved.dice == class_metrics(a, b, 2, SPACING).dice
