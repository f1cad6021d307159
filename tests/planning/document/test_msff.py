"""The MSFF bottleneck's branches, and that the memory estimate counts those that are built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from autospine.machine.arithmetic import Machine
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.msff import branch_channels, branch_kernel, branch_rates, control_channels, parameters
from autospine.planning.estimate.memory import _Step


@pytest.mark.parametrize(
    ("shape", "kernel", "rates"),
    [
        ((1, 1), (3, 3), ((1, 1),)),
        ((2, 2), (3, 3), ((1, 1),)),
        ((3, 3), (3, 3), ((1, 1),)),
        ((4, 4), (3, 3), ((1, 1), (2, 2))),
        ((5, 5), (3, 3), ((1, 1), (2, 2))),
        ((8, 8), (3, 3), ((1, 1), (2, 2), (4, 4))),
        ((7, 9), (3, 3), ((1, 1), (2, 2), (3, 4))),
        ((5, 7, 7), (3, 3, 3), ((1, 1, 1), (2, 2, 2), (2, 3, 3))),
        ((1, 7, 7), (3, 3, 3), ((1, 1, 1), (1, 2, 2), (1, 3, 3))),
        ((20, 7, 7), (1, 3, 3), ((1, 1, 1), (1, 2, 2), (1, 3, 3))),
        ((2, 3, 8), (3, 3, 3), ((1, 1, 1), (1, 1, 2), (1, 1, 4))),
    ],
)
def test_rates(shape: tuple[int, ...], kernel: tuple[int, ...], rates: tuple[tuple[int, ...], ...]) -> None:
    assert branch_rates(shape, kernel) == rates


def test_kernel_is_one_where_there_is_nothing_beside_a_voxel() -> None:
    assert branch_kernel((1, 5, 5), (3, 3, 3)) == (1, 3, 3)
    assert branch_kernel((5, 5, 5), (1, 3, 3)) == (1, 3, 3)


@pytest.mark.parametrize("size", range(1, 13))
def test_every_tap_reaches_a_voxel(size: int) -> None:
    for (rate,) in branch_rates((size,), (3,)):
        assert rate < size or branch_kernel((size,), (3,)) == (1,)


def test_a_branch_has_a_quarter_of_the_channels_but_no_less_than_eight() -> None:
    assert [branch_channels(channels) for channels in (4, 32, 36, 320)] == [8, 8, 9, 80]


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize("shape", [(8, 4, 4), (8, 2, 9), (1, 8, 5)])
def test_the_estimate_counts_the_parameters_that_are_built(
    make_configuration: Callable[..., Configuration], shape: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    """A bottleneck longer along the axis of kernel 1 than along the others has no rates of its own there."""
    base = make_configuration()
    kernels = (*base.network.kernels[:-1], kernel)
    network = replace(base.network, features=(4, 40), kernels=kernels, bottleneck="msff")
    configuration = replace(base, patch=tuple(2 * size for size in shape), network=network)
    with torch.device("meta"):
        built = UNet(network, configuration.patch)
    assert _Step(configuration, Machine()).parameters == sum(parameter.numel() for parameter in built.parameters())


def test_parameters_by_hand() -> None:
    # 320 maps, branches of 80: 1x1 25 840, three dilated 3 x 691 440, the mean 25 680, fusion 128 000, its norm 640
    assert parameters(320, (5, 7, 7), (3, 3, 3)) == 25_840 + 3 * 691_440 + 25_680 + 128_000 + 640 == 2_254_480
    # a single voxel: no norm, one dilated branch with a kernel of 1, a bias where the fusion ends
    assert parameters(16, (1, 1), (3, 3)) == 3 * (16 * 8 + 8) + 3 * 8 * 16 + 16
    assert control_channels(320, (5, 7, 7), (3, 3, 3)) == round((2_254_480 - 640) / (320 * 28 + 3)) == 251
