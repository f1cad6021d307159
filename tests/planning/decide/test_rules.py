from __future__ import annotations

import pytest

from autospine.data.slices import slice_axis
from autospine.planning.decide.rules import (
    batch_by_memory,
    class_sizes,
    fits,
    memory_elements,
    normalisation_of,
    order_axes,
    size_adaptive_weights,
    size_ratio,
    stated_axis,
    target_spacing,
)
from autospine.planning.document.parts import NetworkPlan
from autospine.planning.estimate.cost import feature_map_elements, multiply_adds, stage_sizes
from autospine.planning.estimate.tiers import memory_tier


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
    assert order_axes(slice_axis((224, 224, 20), (1.0, 1.0, 4.0))) == (2, 0, 1)
    assert order_axes(slice_axis((35, 51, 35), (1.0, 1.0, 1.0))) == (0, 1, 2)
    assert order_axes(slice_axis((30, 51, 35), (0.5, 0.7, 0.6))) == (1, 0, 2)
    assert order_axes(slice_axis((1, 51, 35), (1.0, 2.0, 2.0))) == (0, 1, 2)


def test_the_slice_axis_of_the_headers_that_most_cases_have() -> None:
    assert stated_axis([2, 2, None]) == 2
    assert stated_axis([2, 2, None, 1]) is None
    assert stated_axis([None, None, 1]) is None


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


def test_a_tier_is_what_the_memory_holds() -> None:
    assert [memory_tier(gb) for gb in (0.5, 2.0, 7.99, 8.0, 11.0, 25.2, 79.0, 85.0, 640.0)] == [
        *(2.0, 2.0, 6.0, 8.0, 8.0),
        *(24.0, 48.0, 80.0, 80.0),
    ]


def test_memory_grows_with_the_presets() -> None:
    assert [memory_elements(3, gb) for gb in (4.0, 8.0, 24.0, 80.0)] == [280e6, 560e6, 1680e6, 5600e6]
    assert [memory_elements(2, gb) for gb in (2.0, 8.0)] == [21.25e6, 85e6]
    residual = [memory_elements(3, gb, "residual") for gb in (4.0, 8.0, 16.0, 24.0, 32.0, 40.0, 80.0)]
    assert residual == [340e6, 680e6, 1390e6, 2.1e9, 2.85e9, 3.6e9, 7.2e9]
    assert [memory_elements(2, gb, "residual") for gb in (6.0, 8.0, 24.0, 40.0)] == [101.25e6, 135e6, 380e6, 560e6]


def test_what_must_fit_before_a_patch_stops_shrinking() -> None:
    # plain 2D: two patches at 8 GB, where 85e6 elements a patch go 12 times
    assert fits(2, 510_000_000, 8.0)
    assert not fits(2, 510_000_001, 8.0)
    assert fits(3, 560_000_000, 8.0)
    assert not fits(3, 560_000_001, 8.0)
    # residual 2D: all twelve
    assert fits(2, 135_000_000, 8.0, "residual")
    assert not fits(2, 135_000_001, 8.0, "residual")


def test_batches_fill_the_memory() -> None:
    assert batch_by_memory(2, 85_000_000, 8.0) == 12
    assert batch_by_memory(3, 280_000_000, 24.0) == 12
    assert batch_by_memory(3, 500_000_000, 24.0, "residual") == 8  # 2.1e9 / 500e6 x 2 = 8.4


def test_feature_map_elements_by_hand() -> None:
    strides = [(1, 1), (2, 2)]
    assert stage_sizes((8, 4), strides) == ((8, 4), (4, 2))
    # encoder 2 convs: 2 x 3 x 32 + 2 x 6 x 8; decoder 2 convs and the transposed one: 3 x 3 x 32; head 5 x 32
    assert feature_map_elements((8, 4), strides, (3, 6), 5, (2, 2)) == 192 + 96 + 288 + 160


def test_feature_map_elements_of_residual_stages_by_hand() -> None:
    # stem 3 x 32; one block 2 x 96; three blocks 6 x 48 and the projection 48; decoder 2 x 96; head 5 x 32
    strides = ((1, 1), (2, 2))
    assert feature_map_elements((8, 4), strides, (3, 6), 5, (1, 3), 1, "residual") == 96 + 192 + 336 + 192 + 160
    # the skip is projected where only the size changes, too: stages of 256, 64 and 32 elements, one width
    strides = ((1, 1), (2, 2), (1, 2))
    by_hand = 256 + (4 * 256) + (2 * 64 + 64) + (4 * 32 + 32) + 2 * (256 + 64) + 3 * 64
    assert feature_map_elements((8, 8), strides, (4, 4, 4), 3, (2, 1, 2), 1, "residual") == by_hand


@pytest.mark.parametrize(
    ("patch", "strides", "features", "out_channels", "elements"),
    [
        ((128,) * 3, ((2, 2, 2),) * 5, (32, 64, 128, 256, 320, 320), 3, 557_420_544),
        ((512,) * 2, ((2, 2),) * 6, (32, 64, 128, 256, 512, 512, 512), 3, 129_531_904),
        (
            (20, 224, 224),
            ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
            (32, 64, 128, 256, 320, 320),
            6,
            435_229_760,
        ),
    ],
)
def test_residual_elements_are_those_of_the_reference(
    patch: tuple[int, ...], strides: tuple[tuple[int, ...], ...], features: tuple[int, ...], out_channels: int, elements
) -> None:
    """Numbers of `ResidualEncoderUNet.compute_conv_feature_map_size`, dynamic_network_architectures 0.4."""
    blocks = (1, 3, 4, 6, 6, 6, 6)[: len(features)]
    every = ((1,) * len(patch), *strides)
    assert feature_map_elements(patch, every, features, out_channels, blocks, 1, "residual") == elements


def test_multiply_adds_by_hand() -> None:
    network = NetworkPlan(2, 1, 2, (3, 6), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (2, 2))
    # encoder 32 x 9 x 3 x (1 + 3) + 8 x 9 x 6 x (3 + 6); decoder 32 x 3 x 6 + 32 x 9 x 3 x (6 + 3); head 32 x 3 x 2
    one = 3456 + 3888 + 576 + 7776 + 192
    assert multiply_adds(network, (8, 4), 1) == one
    assert multiply_adds(network, (8, 4), 3) == 3 * one


def test_multiply_adds_of_residual_stages_by_hand() -> None:
    network = NetworkPlan(2, 1, 2, (3, 6), ((3, 3), (3, 3)), ((1, 1), (2, 2)), (1, 2), "residual", 1)
    stem, finest = 32 * 9 * 3, 32 * 9 * 3 * (3 + 3)
    # four convolutions, of which the first sees 3 channels, and the projection 3 -> 6
    coarse = 8 * 9 * 6 * (3 + 3 * 6) + 8 * 3 * 6
    # transposed convolution, one convolution over 3 + 3 channels, head
    decoder = 32 * 3 * 6 + 32 * 9 * 3 * 6 + 32 * 3 * 2
    assert multiply_adds(network, (8, 4), 2) == 2 * (stem + finest + coarse + decoder)
