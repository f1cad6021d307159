from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autospine.networks.blocks import (
    SLOPE,
    ConvBlock,
    InstanceNorm,
    ResidualBlock,
    convolution,
    initialise,
    stack,
    start_as_identity,
    upsampling,
)
from autospine.networks.unet import UNet
from autospine.planning.document.parts import Bottleneck, NetworkPlan
from autospine.planning.estimate.cost import stage_sizes


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


SMALL_2D = NetworkPlan(
    dimension=2,
    in_channels=2,
    out_channels=4,
    features=(8, 16, 32),
    kernels=((3, 3),) * 3,
    strides=((1, 1), (2, 2), (2, 2)),
    blocks=(1, 3, 4),
    encoder="residual",
    convs_decoder=1,
)
# Anisotropic, and the last stage is strided without growing wider: its skip is averaged but not projected.
SMALL_3D = NetworkPlan(
    dimension=3,
    in_channels=3,
    out_channels=3,
    features=(4, 8, 8),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    blocks=(2, 2, 1),
    encoder="residual",
    convs_decoder=2,
)
LUMBAR_3D = NetworkPlan(
    dimension=3,
    in_channels=1,
    out_channels=6,
    features=(32, 64, 128, 256, 320, 320),
    kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    blocks=(1, 3, 4, 6, 6, 6),
    encoder="residual",
    convs_decoder=1,
)
LUMBAR_2D = NetworkPlan(
    dimension=2,
    in_channels=1,
    out_channels=6,
    features=(32, 64, 128, 256, 512, 512),
    kernels=((3, 3),) * 6,
    strides=((1, 1), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2)),
    blocks=(1, 3, 4, 6, 6, 6),
    encoder="residual",
    convs_decoder=1,
)
PLANS = [(SMALL_2D, (20, 12)), (SMALL_3D, (6, 12, 20))]


def _build(plan: NetworkPlan, patch: tuple[int, ...], seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(plan, patch)


@pytest.mark.parametrize(
    ("plan", "patch", "expected"),
    [
        # Counted on ResidualEncoderUNet of dynamic-network-architectures 0.4.4 with the same numbers (nnU-Net 2.8.1).
        (LUMBAR_3D, (20, 224, 224), 101_275_166),
        (LUMBAR_2D, (224, 224), 71_820_574),
        (SMALL_2D, (16, 16), 93_472),
        (replace(SMALL_3D, in_channels=1, features=(4, 8, 16)), (4, 8, 8), 24_382),
        (
            replace(
                SMALL_3D,
                features=(4, 8, 8, 8),
                kernels=(*SMALL_3D.kernels, (3, 3, 3)),
                strides=(*SMALL_3D.strides, (1, 1, 2)),
                blocks=(1, 3, 4, 6),
                convs_decoder=1,
            ),
            (4, 8, 16),
            53_285,
        ),
    ],
)
def test_as_many_parameters_as_the_reference(plan: NetworkPlan, patch: tuple[int, ...], expected: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in UNet(plan, patch).parameters()) == expected


def test_names_of_the_weights_are_frozen() -> None:
    plan = replace(SMALL_2D, features=(8, 16, 16), blocks=(1, 1, 1))
    block = ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    both = [f"{part}.{name}" for part in ("first", "second") for name in block]
    assert list(_build(plan, (8, 8)).state_dict()) == [
        *(f"stem.{name}" for name in block),
        *(f"encoder.0.0.{name}" for name in both),
        *(f"encoder.1.0.{name}" for name in both),
        *(f"encoder.1.0.project.{name}" for name in ("conv.weight", "norm.weight", "norm.bias")),
        *(f"encoder.2.0.{name}" for name in both),
        *(
            f"decoder.{i}.{name}"
            for i in range(2)
            for name in ["up.weight", "up.bias", *(f"convs.0.{name}" for name in block)]
        ),
        *(f"heads.{i}.{name}" for i in range(2) for name in ["weight", "bias"]),
    ]


def test_skip_by_hand() -> None:
    """With the two convolutions silent a block is the leaky ReLU of the averaged skip."""
    block = ResidualBlock(1, 1, (3, 3), stride=(1, 2))
    start_as_identity(block)
    x = torch.tensor([[[[1.0, 3.0, -8.0, -2.0], [0.0, 6.0, -1.0, 3.0]]]])
    assert torch.allclose(block(x), torch.tensor([[[[2.0, -0.05], [3.0, 1.0]]]]))


def test_block_is_two_convolutions_beside_a_skip() -> None:
    torch.manual_seed(0)
    block = ResidualBlock(3, 5, (3, 3, 3), stride=(1, 2, 2)).double()
    x = torch.randn(2, 3, 3, 6, 4, dtype=torch.float64)

    def normed(y: Tensor) -> Tensor:
        flat = y.flatten(2)
        flat = (flat - flat.mean(2, keepdim=True)) / (flat.var(2, keepdim=True, correction=0) + 1e-5).sqrt()
        return flat.reshape(y.shape)

    first, second = (block.get_submodule(f"{part}.conv") for part in ("first", "second"))
    y = F.leaky_relu(normed(first(x)), 0.01)
    skip = torch.einsum("bczyx,oc->bozyx", F.avg_pool3d(x, (1, 2, 2)), block.project.conv.weight.flatten(1))
    expected = F.leaky_relu(normed(second(y)) + normed(skip), 0.01)
    torch.testing.assert_close(block(x), expected, rtol=0, atol=1e-9)


def test_only_the_first_block_of_a_stack_changes_size_and_width() -> None:
    blocks = stack(ResidualBlock, 4, 8, (3, 3), 3, stride=(2, 1))
    assert blocks(torch.randn(1, 4, 8, 6)).shape == (1, 8, 4, 6)
    assert [isinstance(block.pool, nn.AvgPool2d) for block in blocks] == [True, False, False]
    assert [isinstance(block.project, nn.Identity) for block in blocks] == [False, True, True]


@pytest.mark.parametrize(("plan", "patch"), [*PLANS, (SMALL_2D, (4, 4)), (SMALL_3D, (2, 4, 4))])
def test_fresh_blocks_pass_their_skip_on(plan: NetworkPlan, patch: tuple[int, ...]) -> None:
    net = _build(plan, patch)
    x = net.stem(torch.randn(2, plan.in_channels, *patch))
    with torch.no_grad():
        for stage in net.encoder:
            for block in stage:
                y = block(x)
                assert torch.equal(y, F.leaky_relu(block.project(block.pool(x)), 0.01))
                last = block.second.conv if isinstance(block.second.norm, nn.Identity) else block.second.norm
                assert all(bool((parameter == 0).all()) for parameter in last.parameters())
                x = y


@pytest.mark.parametrize(("plan", "patch"), [*PLANS, (SMALL_2D, (4, 4)), (SMALL_3D, (2, 4, 4))])
@pytest.mark.parametrize("bottleneck", ["plain", "msff"])
def test_outputs_and_learning(plan: NetworkPlan, patch: tuple[int, ...], bottleneck: Bottleneck) -> None:
    net = _build(replace(plan, bottleneck=bottleneck), patch)
    x = torch.randn(2, plan.in_channels, *patch)
    outputs = net(x)
    shapes = [(2, plan.out_channels, *shape) for shape in stage_sizes(patch, plan.strides)[:-1]]
    assert [tuple(y.shape) for y in outputs] == shapes
    optimiser = torch.optim.SGD(net.parameters(), 0.05)
    for _ in range(2):  # in the second step nothing is silent any more
        optimiser.zero_grad()
        torch.stack([y.square().mean() for y in net(x)]).sum().backward()
        optimiser.step()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and bool(torch.isfinite(parameter.grad).all()), name
        if name.endswith("conv.weight") and not name.startswith("msff"):
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("plan", "patch"), PLANS)
def test_fresh_msff_network_equals_the_plain_one_to_the_bit(plan: NetworkPlan, patch: tuple[int, ...]) -> None:
    plain, msff = _build(plan, patch), _build(replace(plan, bottleneck="msff"), patch)
    x = torch.randn(2, plan.in_channels, *patch)
    assert all(torch.equal(a, b) for a, b in zip(plain(x), msff(x), strict=True))


def test_bottleneck_of_one_voxel_has_no_norm() -> None:
    net = _build(SMALL_2D, (4, 4))
    assert not any("norm" in name for name, _ in net.encoder[-1].named_parameters())
    assert any("norm" in name for name, _ in net.encoder[-2].named_parameters())


def test_half_precision_stays_half() -> None:
    net = _build(SMALL_3D, (6, 12, 20))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(torch.randn(1, 3, 6, 12, 20))[0].dtype == torch.bfloat16
