from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autospine.errors import PlanError
from autospine.networks.blocks import ResidualBlock
from autospine.networks.msff import MSFF
from autospine.networks.unet import UNet
from autospine.planning.document.msff import branch_kernel, parameters
from autospine.planning.document.parts import Bottleneck, NetworkPlan
from autospine.planning.estimate.cost import stage_sizes

PLAN_2D = NetworkPlan(
    dimension=2,
    in_channels=2,
    out_channels=4,
    features=(8, 16, 32),
    kernels=((3, 3),) * 3,
    strides=((1, 1), (2, 2), (2, 2)),
    blocks=(2, 2, 2),
)
# Anisotropic: another stride and kernel on the first axis.
PLAN_3D = NetworkPlan(
    dimension=3,
    in_channels=1,
    out_channels=3,
    features=(4, 8, 16),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    blocks=(2, 2, 2),
)
LUMBAR_3D = NetworkPlan(
    dimension=3,
    in_channels=1,
    out_channels=6,
    features=(32, 64, 128, 256, 320, 320),
    kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    strides=((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
    blocks=(2, 2, 2, 2, 2, 2),
)
LUMBAR_2D = NetworkPlan(
    dimension=2,
    in_channels=1,
    out_channels=6,
    features=(32, 64, 128, 256, 512, 512),
    kernels=((3, 3),) * 6,
    strides=((1, 1), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2)),
    blocks=(2, 2, 2, 2, 2, 2),
)
PLANS = [(PLAN_2D, (20, 12)), (PLAN_3D, (6, 12, 20))]


def _build(plan: NetworkPlan, patch: tuple[int, ...], seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(plan, patch)


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("plan", "patch", "expected"),
    [
        # Counted on PlainConvUNet of dynamic-network-architectures 0.4 with the same numbers (nnU-Net 2.8.1).
        (LUMBAR_3D, (20, 224, 224), 30_342_174),
        (LUMBAR_2D, (224, 224), 20_623_070),
        (replace(PLAN_2D, features=(16, 32, 64)), (16, 16), 117_720),
    ],
)
def test_as_many_parameters_as_the_reference(plan: NetworkPlan, patch: tuple[int, ...], expected: int) -> None:
    with torch.device("meta"):
        assert _count(UNet(plan, patch)) == expected


@pytest.mark.parametrize(("plan", "patch"), [(LUMBAR_3D, (20, 224, 224)), (LUMBAR_2D, (224, 224))])
def test_msff_adds_about_two_million_parameters(plan: NetworkPlan, patch: tuple[int, ...]) -> None:
    with torch.device("meta"):
        added = _count(UNet(replace(plan, bottleneck="msff"), patch)) - _count(UNet(plan, patch))
    assert 2.1e6 < added < 2.3e6


@pytest.mark.parametrize(
    ("plan", "patch"),
    [(LUMBAR_3D, (20, 224, 224)), (LUMBAR_2D, (224, 224)), *PLANS, (PLAN_2D, (4, 4)), (PLAN_3D, (2, 4, 4))],
)
def test_the_control_has_as_many_parameters_as_msff(plan: NetworkPlan, patch: tuple[int, ...]) -> None:
    """As near as whole feature maps come: one more is `channels * (taps + 1) + 3` parameters."""
    shape, channels = stage_sizes(patch, plan.strides)[-1], plan.features[-1]
    with torch.device("meta"):
        plain, msff, control = (
            _count(UNet(replace(plan, bottleneck=bottleneck), patch)) for bottleneck in ("plain", "msff", "control")
        )
    assert msff - plain == parameters(channels, shape, plan.kernels[-1])
    one_more = channels * (math.prod(branch_kernel(shape, plan.kernels[-1])) + 1) + 3
    assert abs(control - msff) <= one_more / 2
    if channels >= 320:
        assert abs(control - msff) < 0.01 * (msff - plain)


@pytest.mark.parametrize(("plan", "patch"), PLANS)
@pytest.mark.parametrize("bottleneck", ["plain", "msff", "control"])
def test_outputs_finest_first(plan: NetworkPlan, patch: tuple[int, ...], bottleneck: Bottleneck) -> None:
    net = _build(replace(plan, bottleneck=bottleneck), patch)
    x = torch.randn(2, plan.in_channels, *patch)
    shapes = [(2, plan.out_channels, *shape) for shape in stage_sizes(patch, plan.strides)[:-1]]
    training = net(x)
    assert [tuple(y.shape) for y in training] == shapes
    with torch.inference_mode():
        evaluation = net.eval()(x)
    assert len(evaluation) == 1
    assert torch.equal(evaluation[0], training[0])


def test_names_of_the_weights_are_frozen() -> None:
    plain = list(_build(replace(PLAN_2D, blocks=(1,) * len(PLAN_2D.features), convs_decoder=1), (8, 8)).state_dict())
    block = ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    assert plain == [
        *(f"encoder.{i}.0.{name}" for i in range(3) for name in block),
        *(
            f"decoder.{i}.{name}"
            for i in range(2)
            for name in ["up.weight", "up.bias", *(f"convs.0.{name}" for name in block)]
        ),
        *(f"heads.{i}.{name}" for i in range(2) for name in ["weight", "bias"]),
    ]


@pytest.mark.parametrize(("plan", "patch"), [*PLANS, (PLAN_2D, (4, 4)), (PLAN_3D, (2, 4, 4)), (PLAN_3D, (10, 20, 12))])
@pytest.mark.parametrize("bottleneck", ["msff", "control"])
def test_fresh_bottleneck_changes_nothing_to_the_bit(
    plan: NetworkPlan, patch: tuple[int, ...], bottleneck: Bottleneck
) -> None:
    plain = _build(plan, patch)
    after = torch.rand(3)
    msff = _build(replace(plan, bottleneck=bottleneck), patch)
    assert torch.equal(torch.rand(3), after)  # the random stream goes on alike
    weights = msff.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in plain.state_dict().items())
    x = torch.randn(2, plan.in_channels, *patch)
    assert all(torch.equal(a, b) for a, b in zip(plain(x), msff(x), strict=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(plain(x), msff(x), strict=True))


def test_checkpoint_without_msff_loads() -> None:
    plain = _build(PLAN_3D, (6, 12, 20), seed=1)
    msff = _build(replace(PLAN_3D, bottleneck="msff"), (6, 12, 20), seed=2)
    report = msff.load_state_dict(plain.state_dict(), strict=False)
    assert not report.unexpected_keys
    assert report.missing_keys and all(name.startswith("msff.") for name in report.missing_keys)
    x = torch.randn(1, 1, 6, 12, 20)
    assert torch.equal(plain(x)[0], msff(x)[0])


def test_the_seed_decides_the_weights() -> None:
    first, again, other = (_build(PLAN_2D, (8, 8), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.0.0.conv.weight"], other["encoder.0.0.conv.weight"])


@pytest.mark.parametrize("bottleneck", ["plain", "msff"])
@pytest.mark.parametrize(("plan", "patch"), [(PLAN_2D, (4, 4)), (PLAN_3D, (2, 4, 4))])
def test_bottleneck_of_one_voxel_has_no_norm_and_still_sees_the_image(
    plan: NetworkPlan, patch: tuple[int, ...], bottleneck: Bottleneck
) -> None:
    net = _build(replace(plan, bottleneck=bottleneck), patch)
    assert not any("norm" in name for name, _ in net.encoder[-1].named_parameters())
    x = torch.randn(2, plan.in_channels, *patch, requires_grad=True)
    coarsest = net(x)[-1]
    assert bool(torch.isfinite(coarsest).all())
    coarsest.square().sum().backward()
    gradient = net.get_parameter("encoder.2.1.conv.weight").grad
    assert isinstance(gradient, Tensor) and gradient.abs().sum() > 0


def test_network_of_one_stage() -> None:
    plan = replace(PLAN_2D, features=(8,), kernels=((3, 3),), strides=((1, 1),), blocks=(2,), bottleneck="msff")
    net = _build(plan, (5, 7))
    assert [tuple(y.shape) for y in net(torch.randn(1, 2, 5, 7))] == [(1, 4, 5, 7)]


def test_every_weight_is_trained() -> None:
    net = _build(PLAN_3D, (6, 12, 20))
    torch.stack([y.square().mean() for y in net(torch.randn(2, 1, 6, 12, 20))]).sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_size_that_cannot_be_halved_says_so() -> None:
    with pytest.raises(ValueError, match=r"\(6, 7\) must be a multiple of \(4, 4\)"):
        _build(PLAN_2D, (8, 8))(torch.zeros(1, 2, 6, 7))


def test_training_keeps_two_copies_of_each_feature_map_and_no_more() -> None:
    """A convolution's output for the norm, and the activation (in place on the norm's output) for what follows."""
    plan, patch = replace(PLAN_2D, in_channels=1), (64, 64)
    net = _build(plan, patch)
    weights = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = net(torch.randn(1, 1, *patch))
    shapes = [a * b for a, b in stage_sizes(patch, plan.strides)]
    encoder = sum(2 * 2 * f * n for f, n in zip(plan.features, shapes, strict=True))
    # Two convolutions twice, and the concatenation of upsampled features and skip.
    decoder = sum((2 * 2 + 2) * f * n for f, n in zip(plan.features[:-1], shapes[:-1], strict=True))
    # The image and the norms' statistics.
    assert sum(kept.values()) <= 4 * (encoder + decoder + 64 * 64) + 10_000
    assert len(outputs) == 2


def test_evaluation_computes_the_finest_head_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    net = _build(PLAN_2D, (8, 8)).eval()

    def refuse(x: Tensor) -> Tensor:
        raise AssertionError("a coarse head was computed")

    monkeypatch.setattr(net.heads[1], "forward", refuse)
    assert len(net(torch.zeros(1, 2, 8, 8))) == 1


@pytest.mark.parametrize(
    ("plan", "patch", "message"),
    [
        (PLAN_2D, (10, 8), "divided"),
        (PLAN_2D, (8, 8, 8), "2 numbers"),
        (PLAN_2D, (0, 8), "divided"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(plan: NetworkPlan, patch: tuple[int, ...], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        UNet(plan, patch)


def test_every_choice_of_the_plan_is_built() -> None:
    plain = UNet(PLAN_2D, (16, 16))
    assert [len(stage) for stage in plain.encoder] == [2, 2, 2] and plain.divisor == (4, 4)
    assert plain.heads[0].weight.shape == (4, 8, 1, 1) and not isinstance(plain.msff, MSFF)
    chosen = UNet(replace(PLAN_2D, encoder="residual", bottleneck="msff", blocks=(1, 2, 3)), (16, 16))
    assert [len(stage) for stage in chosen.encoder] == [1, 2, 3]
    assert isinstance(chosen.encoder[0][0], ResidualBlock) and isinstance(chosen.msff, MSFF)
