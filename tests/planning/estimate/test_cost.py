from __future__ import annotations

import pytest

from autospine.planning.document.parts import NetworkPlan
from autospine.planning.estimate.cost import feature_map_elements, multiply_adds, stage_sizes


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
