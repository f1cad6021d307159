"""Metrics of one class: numbers by hand, the empty rule, HD95 against a brute force, symmetry."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospine.evaluation.metrics import class_metrics

SPACING = (4.0, 2.0, 0.5)


def box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> np.ndarray:
    """A volume of zeros with ones in a box."""
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(*bounds) for bounds in ranges)] = 1
    return array


def brute_hd95(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Max of the directed 95th percentiles over all pairs of surface voxels."""

    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        points = []
        for index in np.argwhere(mask):
            neighbours = [
                tuple(index + 1 + step * np.eye(mask.ndim, dtype=int)[axis])
                for axis in range(mask.ndim)
                if mask.shape[axis] > 1
                for step in (-1, 1)
            ]
            if not all(padded[neighbour] for neighbour in neighbours):
                points.append(index * np.array(spacing))
        return np.array(points)

    first, second = surface(a), surface(b)
    distances = np.linalg.norm(first[:, None] - second[None], axis=2)
    return float(max(np.percentile(distances.min(1), 95), np.percentile(distances.min(0), 95)))


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
    # Both boxes are two slices thick: every voxel is surface. A quarter of them is one voxel of 2 mm away, the rest 0.
    assert metrics.hd95_mm == pytest.approx(2.0)


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


def test_the_95th_percentile_forgives_one_far_voxel_of_many() -> None:
    reference = box((1, 20, 20), (0, 1), (0, 10), (0, 10))
    prediction = reference.copy()
    prediction[0, 19, 19] = 1  # 1 of 37 outline voxels: beyond the 95th percentile
    assert class_metrics(prediction, reference, 1, (1.0, 1.0, 1.0)).hd95_mm == 0.0


def test_a_slice_is_measured_by_its_outline() -> None:
    reference = box((1, 9, 9), (0, 1), (0, 9), (0, 9))
    prediction = box((1, 9, 9), (0, 1), (3, 6), (3, 6))
    # From the outer ring's corners to the inner ring's corners: 3 pixels along both axes.
    expected = brute_hd95(prediction > 0, reference > 0, (7.0, 1.0, 1.0))
    assert expected == pytest.approx(class_metrics(prediction, reference, 1, (7.0, 1.0, 1.0)).hd95_mm)
    assert 3.0 <= expected <= math.hypot(3, 3)


def test_absent_from_both_says_nothing() -> None:
    empty = np.zeros((3, 3, 3), np.uint8)
    metrics = class_metrics(empty, empty, 1, SPACING)
    numbers = (metrics.dice, metrics.iou, metrics.precision, metrics.sensitivity, metrics.specificity, metrics.hd95_mm)
    assert all(math.isnan(number) for number in numbers)
    assert (metrics.reference_voxels, metrics.predicted_voxels) == (0, 0)


@pytest.mark.parametrize("missed", [True, False])
def test_absent_from_one_scores_zero(missed: bool) -> None:
    empty, full = np.zeros((3, 3, 3), np.uint8), box((3, 3, 3), (0, 1), (0, 3), (0, 3))
    metrics = class_metrics(empty, full, 1, SPACING) if missed else class_metrics(full, empty, 1, SPACING)
    assert (metrics.dice, metrics.iou, metrics.precision, metrics.sensitivity) == (0, 0, 0, 0)
    assert metrics.specificity == pytest.approx(1.0 if missed else 18 / 27)
    assert math.isnan(metrics.hd95_mm)


def test_a_reference_that_fills_the_volume_has_no_specificity() -> None:
    full = np.ones((2, 2, 2), np.uint8)
    assert math.isnan(class_metrics(full, full, 1, SPACING).specificity)


def test_shapes_and_spacing_are_checked() -> None:
    mask = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(ValueError, match="shape"):
        class_metrics(mask, mask[:1], 1, SPACING)
    with pytest.raises(ValueError, match="spacing"):
        class_metrics(mask, mask, 1, (1.0, 1.0))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9))
def test_hd95_equals_the_brute_force_and_is_symmetric(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    a = (rng.random((4, 6, 7)) < share).astype(np.uint8)
    b = (rng.random((4, 6, 7)) < 0.4).astype(np.uint8)
    a[1, 2, 3] = b[2, 3, 4] = 1
    there, back = class_metrics(a, b, 1, SPACING), class_metrics(b, a, 1, SPACING)
    assert there.hd95_mm == pytest.approx(brute_hd95(a > 0, b > 0, SPACING))
    assert (there.dice, there.iou, there.hd95_mm) == pytest.approx((back.dice, back.iou, back.hd95_mm))
    assert (there.precision, there.sensitivity) == pytest.approx((back.sensitivity, back.precision))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.permutations([0, 1, 2]))
def test_metrics_do_not_depend_on_the_order_of_the_axes(seed: int, order: list[int]) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 3, (4, 5, 6)).astype(np.uint8) for _ in range(2))
    moved = class_metrics(a.transpose(order), b.transpose(order), 2, tuple(SPACING[axis] for axis in order))
    assert moved.hd95_mm == pytest.approx(class_metrics(a, b, 2, SPACING).hd95_mm)
    assert moved.dice == class_metrics(a, b, 2, SPACING).dice
