from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.data.structure import IGNORED
from autospine.losses.dice import soft_dice_loss


def _slow(probabilities: Tensor, target: Tensor, batch_dice: bool) -> Tensor:
    """The definition with a one-hot volume."""
    valid = (target != IGNORED)[:, None]
    onehot = F.one_hot(target.where(target != IGNORED, 0), probabilities.shape[1]).movedim(-1, 1) * valid
    axes = (0, *range(2, probabilities.ndim)) if batch_dice else tuple(range(2, probabilities.ndim))
    intersection = (probabilities * onehot).sum(axes)
    total = (probabilities * valid).sum(axes) + onehot.sum(axes)
    return -((2 * intersection + 1e-5) / (total + 1e-5).clamp(min=1e-8))[..., 1:].mean()


@pytest.mark.parametrize("batch_dice", [True, False])
@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("size", [(5, 7), (3, 5, 4)])
def test_equals_the_definition_forward_and_backward(size: tuple[int, ...], ignored: float, batch_dice: bool) -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 4, *size, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 4, (3, *size))
    target[torch.rand(target.shape) < ignored] = IGNORED
    ours = soft_dice_loss(logits.softmax(1), target, batch_dice=batch_dice)
    slow = _slow(logits.softmax(1), target, batch_dice)
    torch.testing.assert_close(ours, slow, rtol=0, atol=1e-12)
    (left,) = torch.autograd.grad(ours, logits)
    (right,) = torch.autograd.grad(slow, logits)
    torch.testing.assert_close(left, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_dice", [True, False])
@pytest.mark.parametrize("ignored", [False, True])
def test_gradcheck(batch_dice: bool, ignored: bool) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, 3, 4))
    if ignored:
        target[0, 1] = IGNORED
    assert torch.autograd.gradcheck(lambda x: soft_dice_loss(x.softmax(1), target, batch_dice=batch_dice), (logits,))


def test_by_hand() -> None:
    # Two samples of two voxels, background and one class.
    p1 = torch.tensor([[0.5, 1.0], [0.25, 0.25]], dtype=torch.float64)
    target = torch.tensor([[0, 1], [1, 0]])
    probabilities = torch.stack((1 - p1, p1), dim=1)
    # Sample 1: I = 1, S = 1.5, G = 1 -> 2 / 2.5;  sample 2: I = 0.25, S = 0.5, G = 1 -> 0.5 / 1.5
    per_sample = soft_dice_loss(probabilities, target, batch_dice=False, smooth=0.0)
    assert per_sample.item() == pytest.approx(-(2 / 2.5 + 0.5 / 1.5) / 2, abs=1e-12)
    # Together: I = 1.25, S = 2, G = 2 -> 2.5 / 4
    assert soft_dice_loss(probabilities, target, batch_dice=True, smooth=0.0).item() == pytest.approx(
        -2.5 / 4, abs=1e-12
    )


def test_perfect_is_minus_one_and_wrong_is_zero() -> None:
    target = torch.tensor([[0, 1, 2, 2]])
    onehot = F.one_hot(target, 3).movedim(-1, 1).float()
    assert soft_dice_loss(onehot, target, batch_dice=True).item() == pytest.approx(-1)
    assert soft_dice_loss(onehot, (target + 1) % 3, batch_dice=True).item() == pytest.approx(0, abs=1e-5)


def test_class_absent_from_both_counts_as_one() -> None:
    probabilities = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    assert soft_dice_loss(probabilities, torch.tensor([[0, 1]]), batch_dice=False).item() == pytest.approx(-1)


def test_all_ignored_has_no_gradient() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = soft_dice_loss(logits.softmax(1), torch.full((2, 4, 4), IGNORED), batch_dice=True)
    loss.backward()
    assert bool(torch.isfinite(loss)) and logits.grad is not None and logits.grad.abs().max() == 0


def test_order_of_voxels_and_samples_does_not_matter() -> None:
    torch.manual_seed(2)
    probabilities, target = torch.randn(3, 4, 50).softmax(1), torch.randint(0, 4, (3, 50))
    voxels, samples = torch.randperm(50), torch.tensor([2, 0, 1])
    for batch_dice in (True, False):
        loss = soft_dice_loss(probabilities, target, batch_dice=batch_dice)
        shuffled = soft_dice_loss(
            probabilities[samples][:, :, voxels], target[samples][:, voxels], batch_dice=batch_dice
        )
        torch.testing.assert_close(loss, shuffled)
