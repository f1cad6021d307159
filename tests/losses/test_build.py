from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from autospine.data.structure import IGNORED
from autospine.losses.build import DiceCrossEntropy, build_loss
from autospine.losses.dice import soft_dice_loss
from autospine.networks.unet import UNet
from autospine.planning.document.parts import Bottleneck, LossPlan, NetworkPlan

PLAIN = LossPlan("dice_ce", (1.0, 1.0, 1.0), batch_dice=True)
ADAPTIVE = LossPlan("dice_size_adaptive_ce", (1.0, 2.0, 5.0), batch_dice=True)


@pytest.mark.parametrize("size", [(6, 9), (3, 5, 4)])
@pytest.mark.parametrize("batch_dice", [True, False])
def test_is_dice_plus_cross_entropy(size: tuple[int, ...], batch_dice: bool) -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, *size), torch.randint(0, 3, (2, *size))
    loss = build_loss(LossPlan("dice_size_adaptive_ce", (1.0, 2.0, 5.0), batch_dice), 1)((logits,), target)
    dice = soft_dice_loss(logits.softmax(1), target, batch_dice=batch_dice)
    torch.testing.assert_close(loss, dice + F.cross_entropy(logits, target, torch.tensor([1.0, 2.0, 5.0])))


@pytest.mark.parametrize("size", [(6, 9), (3, 5, 4)])
def test_adaptive_with_equal_sizes_is_the_plain_loss_to_the_bit(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    a = torch.randn(2, 3, *size, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    target = torch.randint(0, 3, (2, *size))
    equal = build_loss(LossPlan("dice_size_adaptive_ce", (1.0, 1.0, 1.0), batch_dice=True), 1)((a,), target)
    plain = build_loss(PLAIN, 1)((b,), target)
    assert torch.equal(equal, plain)
    equal.backward()
    plain.backward()
    assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)


def test_the_weights_of_the_plan_count_whatever_made_them() -> None:
    logits, target = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    own, adaptive = (
        build_loss(LossPlan(kind, (1.0, 2.0, 5.0), batch_dice=True), 1) for kind in ("dice_ce", "dice_size_adaptive_ce")
    )
    assert torch.equal(own((logits,), target), adaptive((logits,), target))
    assert not torch.equal(own((logits,), target), build_loss(PLAIN, 1)((logits,), target))


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_gradcheck(size: tuple[int, ...], ignored: bool) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, *size))
    if ignored:
        target[1, 0] = IGNORED
    loss = DiceCrossEntropy(class_weights=(1.0, 2.0, 5.0), batch_dice=False, smooth=1e-5)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits,))


def test_float32_under_autocast() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    loss = build_loss(ADAPTIVE, 1)
    half = logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = loss((half,), target)
    assert under.dtype == torch.float32
    assert torch.equal(under, loss((half.float(),), target))


def test_ignored_voxels_do_not_matter() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    target[:, 5:] = IGNORED
    other = logits.clone()
    other[:, :, 5:] = torch.randn(2, 3, 3, 8) * 10
    loss = build_loss(ADAPTIVE, 1)
    torch.testing.assert_close(loss((logits,), target), loss((other,), target))
    torch.testing.assert_close(loss((logits,), target), loss((logits[:, :, :5],), target[:, :5]))


def test_all_ignored_is_finite_and_teaches_nothing() -> None:
    logits = torch.randn(2, 3, 8, 8, requires_grad=True)
    loss = build_loss(ADAPTIVE, 1)((logits,), torch.full((2, 8, 8), IGNORED))
    loss.backward()
    # Dice of a class that is nowhere is 1, cross entropy over nothing 0.
    assert loss.item() == pytest.approx(-1)
    assert logits.grad is not None and logits.grad.abs().max() == 0


def test_huge_logits_stay_finite() -> None:
    logits = torch.tensor([[[1e4, -1e4], [-1e4, 1e4], [0.0, 0.0]]], requires_grad=True)
    loss = build_loss(ADAPTIVE, 1)((logits,), torch.tensor([[1, 1]]))
    loss.backward()
    assert bool(torch.isfinite(loss)) and logits.grad is not None and bool(torch.isfinite(logits.grad).all())


@pytest.mark.parametrize("target", [torch.zeros(1, 4, 5, dtype=torch.int64), torch.zeros(2, 4, 4, dtype=torch.int64)])
def test_sizes_that_do_not_fit_are_refused(target: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="not fit"):
        build_loss(PLAIN, 1)((torch.zeros(1, 3, 4, 4),), target)
    with pytest.raises(ValueError, match="3 classes"):
        build_loss(PLAIN, 1)((torch.zeros(1, 4, 4, 4),), torch.zeros(1, 4, 4, dtype=torch.int64))


@pytest.mark.parametrize(("plan", "dimension", "bottleneck"), [(PLAIN, 2, "plain"), (ADAPTIVE, 3, "msff")])
def test_network_and_loss_learn_together(plan: LossPlan, dimension: Literal[2, 3], bottleneck: Bottleneck) -> None:
    """Bright and dark squares are learnt in a few steps, through every scale."""
    torch.manual_seed(0)
    patch = (8,) * dimension
    network = UNet(
        NetworkPlan(
            dimension=dimension,
            in_channels=1,
            out_channels=3,
            features=(8, 8, 16),
            kernels=((3,) * dimension,) * 3,
            strides=((1,) * dimension, (2,) * dimension, (2,) * dimension),
            blocks=(2, 2, 2),
            bottleneck=bottleneck,
        ),
        patch,
    )
    target = torch.zeros(2, *patch, dtype=torch.int64)
    target[:, :4, 2:6] = 1
    target[:, 4:, :3] = 2
    image = target[:, None].float() + 0.05 * torch.randn(2, 1, *patch)
    loss = build_loss(plan, 2)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(15):
        optimiser.zero_grad()
        value = loss(network(image), target)
        value.backward()
        optimiser.step()
    assert value.item() < -0.5
