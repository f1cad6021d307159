from __future__ import annotations

import pytest

from autospine.planning.cost import feature_map_elements, multiply_adds, stage_sizes
from autospine.planning.plan import NetworkPlan
from autospine.planning.rules import (
    class_sizes,
    normalisation_of,
    order_axes,
    resampled_shape,
    size_adaptive_weights,
    size_ratio,
    target_spacing,
)


def test_spacing_is_the_median_per_axis() -> None:
    spacings = [(1.0, 0.5, 0.7), (2.0, 0.6, 0.8), (3.0, 0.9, 0.9)]
    target, moved = target_spacing(spacings, [(100, 90, 80)] * 3)
    assert target == (2.0, 0.6, 0.8)
    assert not moved


def test_a_thick_axis_takes_its_tenth_percentile() -> None:
    spacings = [(5.0, 1.0, 1.0), (5.0, 1.0, 1.0), (6.0, 1.0, 1.0), (5.0, 1.0, 1.0), (3.0, 1.0, 1.0)]
    target, moved = target_spacing(spacings, [(12, 200, 220)] * 5)
    assert moved
    assert target == pytest.approx((3.8, 1.0, 1.0))  # 10 % between 3 and 5: 3 + 0.4 x 2
    many_slices, moved = target_spacing(spacings, [(90, 200, 220)] * 5)  # 90 x 3 is not below 200
    assert not moved
    assert many_slices[0] == 5.0


def test_a_thick_axis_stays_the_coarsest() -> None:
    spacings = [(5.0, 1.0, 1.2)] * 8 + [(0.5, 1.0, 1.2)] * 2
    target, moved = target_spacing(spacings, [(12, 200, 220)] * 10)
    assert moved
    assert target[0] == 1.2 + 1e-5


def test_axes_go_coarsest_first_and_single_slices_before_all() -> None:
    assert order_axes((1.0, 1.0, 4.0), (224, 224, 20)) == (2, 0, 1)
    assert order_axes((1.0, 1.0, 1.0), (35, 51, 35)) == (0, 1, 2)
    assert order_axes((0.5, 0.7, 0.6), (30, 51, 35)) == (1, 0, 2)
    assert order_axes((1.0, 2.0, 2.0), (1, 51, 35)) == (0, 1, 2)


def test_shapes_scale_with_spacing() -> None:
    assert resampled_shape((20, 224, 305), (4.0, 1.0, 1.25), (4.0, 2.0, 1.0)) == (20, 112, 381)  # 381.25


def test_normalisation_follows_the_channel_name() -> None:
    assert [normalisation_of(name) for name in ("CT", "ct", "T2", "ADC")] == ["ct", "ct", "zscore", "zscore"]


def test_class_sizes_are_medians_over_the_cases_that_have_the_class() -> None:
    voxels = [(100, 0), (300, 40), (200, 80)]
    slices = [(10, 0), (10, 4), (10, 4)]
    spacings = [(1.0, 1.0), (1.0, 1.0), (2.0, 1.0)]
    # per slice at 1 x 1 mm: 10, 30, 20 x 2 = 40 and 10, 20 x 2 = 40
    assert class_sizes(voxels, slices, spacings, (1.0, 1.0)) == (30.0, 25.0)
    assert class_sizes(voxels, slices, spacings, (2.0, 2.0)) == (7.5, 6.25)
    assert class_sizes([(0, 5)], [(0, 1)], [(1.0, 1.0)], (1.0, 1.0)) == (0.0, 5.0)


def test_size_adaptive_weights() -> None:
    assert size_adaptive_weights((400.0, 100.0, 4.0)) == (1.0, 1.0, 2.0, 5.0)  # roots of 1, 4, 100 (capped)
    assert size_adaptive_weights((400.0, 100.0), alpha=1.0) == (1.0, 1.0, 4.0)
    assert size_adaptive_weights((50.0, 0.0)) == (1.0, 1.0, 1.0)  # the second never occurs


@pytest.mark.parametrize(
    ("sizes", "alpha", "cap"), [((9.0, 1.0), 0.0, 5.0), ((9.0, 1.0), 0.5, 1.0), ((7.0, 7.0), 0.5, 5.0)]
)
def test_no_weighting_is_exactly_one(sizes: tuple[float, ...], alpha: float, cap: float) -> None:
    assert size_adaptive_weights(sizes, alpha, cap) == (1.0, 1.0, 1.0)


def test_size_ratio_leaves_absent_classes_out() -> None:
    assert size_ratio((400.0, 0.0, 100.0)) == 4.0
    assert size_ratio((0.0, 0.0)) == 1.0


def test_feature_map_elements_by_hand() -> None:
    strides = [(1, 1), (2, 2)]
    assert stage_sizes((8, 4), strides) == ((8, 4), (4, 2))
    # encoder 2 convs: 2 x 3 x 32 + 2 x 6 x 8; decoder 2 convs and the transposed one: 3 x 3 x 32; head 5 x 32
    assert feature_map_elements((8, 4), strides, (3, 6), 5) == 192 + 96 + 288 + 160


def test_multiply_adds_by_hand() -> None:
    network = NetworkPlan(2, 1, 2, (3, 6), ((3, 3), (3, 3)), ((1, 1), (2, 2)))
    # encoder 32 x 9 x 3 x (1 + 3) + 8 x 9 x 6 x (3 + 6); decoder 32 x 3 x 6 + 32 x 9 x 3 x (6 + 3); head 32 x 3 x 2
    one = 3456 + 3888 + 576 + 7776 + 192
    assert multiply_adds(network, (8, 4), 1) == one
    assert multiply_adds(network, (8, 4), 3) == 3 * one
