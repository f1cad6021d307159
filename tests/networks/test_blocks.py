from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospine.networks.blocks import SLOPE, ConvBlock, InstanceNorm, convolution, initialise, stack, upsampling


@pytest.mark.parametrize("shape", [(2, 5, 7, 6), (1, 3, 2, 5, 4), (2, 4, 1, 1, 2)])
def test_instance_norm_equals_torchs_forward_and_backward(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64) * 3 + 5
    ours = InstanceNorm(shape[1]).double()
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2.0)
        ours.bias.uniform_(-1.0, 1.0)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    direction = torch.randn(shape, dtype=torch.float64)
    left = ours(a)
    right = F.instance_norm(b, weight=ours.weight, bias=ours.bias, eps=1e-5)
    torch.testing.assert_close(left, right, rtol=0, atol=1e-9)
    (left * direction).sum().backward()
    (right * direction).sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-9)


def test_instance_norm_of_one_voxel_says_so() -> None:
    with pytest.raises(ValueError, match=r"more than one voxel.*\(2, 4, 1, 1\)"):
        InstanceNorm(4)(torch.ones(2, 4, 1, 1))


def test_instance_norm_keeps_bfloat16_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ConvBlock(1, 2, (3, 3))(torch.randn(1, 1, 4, 4)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("kernel", "stride", "size", "expected"),
    [
        ((3, 3), (2, 2), (7, 8), (4, 4)),
        ((1, 3, 3), (1, 2, 2), (5, 6, 9), (5, 3, 5)),
        ((3, 3, 3), (2, 1, 2), (4, 5, 6), (2, 5, 3)),
    ],
)
def test_convolution_changes_the_size_by_its_stride_alone(
    kernel: tuple[int, ...], stride: tuple[int, ...], size: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert convolution(1, 2, kernel, stride=stride)(torch.zeros(1, 1, *size)).shape[2:] == expected
    assert convolution(1, 2, kernel, dilation=(2,) * len(size))(torch.zeros(1, 1, *size)).shape[2:] == size


def test_upsampling_is_the_inverse_in_size() -> None:
    assert upsampling(3, 2, (1, 2, 2))(torch.zeros(1, 3, 5, 3, 4)).shape == (1, 2, 5, 6, 8)


def test_only_the_first_block_of_a_stack_is_strided() -> None:
    blocks = stack(ConvBlock, 1, 4, (3, 3), 3, stride=(2, 2))
    assert blocks(torch.randn(1, 1, 8, 8)).shape == (1, 4, 4, 4)
    assert [block.conv.stride for block in blocks] == [(2, 2), (1, 1), (1, 1)]


def test_he_initialisation_by_hand() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3)
    initialise(layer)
    # std = sqrt(2 / ((1 + 0.01^2) * fan_in)), fan_in = 64 * 9 = 576
    assert layer.weight.std().item() == pytest.approx((2 / (1.0001 * 576)) ** 0.5, rel=0.02)
    assert layer.bias is not None and layer.bias.abs().sum() == 0
    assert SLOPE == 0.01
