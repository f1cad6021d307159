from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from autospine.errors import PlanError
from autospine.losses.dice import IGNORE
from autospine.losses.size_adaptive import size_adaptive_cross_entropy, weight_tensor


def test_three_classes_by_hand() -> None:
    # p[y] = 1/2, 1/4, 1/8; w = 1, 2, 5: (log 2 + 2 * 2 log 2 + 5 * 3 log 2) / 8 = 20/8 log 2
    log_p = torch.tensor([[1 / 2, 1 / 4, 1 / 4], [1 / 4, 1 / 4, 1 / 2], [1 / 2, 3 / 8, 1 / 8]]).log()
    log_p = log_p.T[None]  # (1, classes, voxels)
    target = torch.tensor([[0, 1, 2]])
    loss = size_adaptive_cross_entropy(log_p, target, weight_tensor((1.0, 2.0, 5.0)))
    assert loss.item() == pytest.approx(20 / 8 * math.log(2), rel=1e-6)
    # With the last voxel ignored: (1 + 4) / 3 log 2
    target[0, 2] = IGNORE
    loss = size_adaptive_cross_entropy(log_p, target, weight_tensor((1.0, 2.0, 5.0)))
    assert loss.item() == pytest.approx(5 / 3 * math.log(2), rel=1e-6)


@pytest.mark.parametrize("size", [(9, 11), (5, 6, 7)])
@pytest.mark.parametrize("ignored", [False, True])
def test_weights_of_one_are_plain_cross_entropy_to_the_bit(size: tuple[int, ...], ignored: bool) -> None:
    torch.manual_seed(0)
    a = torch.randn(2, 4, *size, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    target = torch.randint(0, 4, (2, *size))
    if ignored:
        target[:, :3] = IGNORE
    ours = size_adaptive_cross_entropy(a.log_softmax(1), target, weight_tensor((1.0,) * 4))
    plain = F.cross_entropy(b, target, ignore_index=IGNORE)
    assert torch.equal(ours, plain)
    ours.backward()
    plain.backward()
    assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("size", [(9, 11), (5, 6, 7)])
def test_weighted_equals_torchs_weighted_mean_and_the_sum_by_voxel(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, *size), torch.randint(0, 3, (2, *size))
    weight = torch.tensor([1.0, 2.5, 5.0])
    loss = size_adaptive_cross_entropy(logits.log_softmax(1), target, weight_tensor((1.0, 2.5, 5.0)))
    assert torch.equal(loss, F.cross_entropy(logits, target, weight))
    each = F.cross_entropy(logits, target, reduction="none")
    torch.testing.assert_close(loss, (weight[target] * each).sum() / weight[target].sum())


def test_alpha_one_is_the_mean_of_class_means() -> None:
    """Weights 1 / n_c make every class count alike, however many voxels it has."""
    torch.manual_seed(0)
    logits = torch.randn(1, 3, 10, dtype=torch.float64)
    target = torch.tensor([[0] * 6 + [1] * 3 + [2]])
    loss = size_adaptive_cross_entropy(logits.log_softmax(1), target, weight_tensor((1 / 6, 1 / 3, 1.0)))
    each = F.cross_entropy(logits, target, reduction="none")
    means = torch.stack([each[target == c].mean() for c in range(3)])
    torch.testing.assert_close(loss, means.mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 2.0, 5.0)])
def test_all_ignored_is_zero_with_zero_gradient(weights: tuple[float, ...]) -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    loss = size_adaptive_cross_entropy(logits.log_softmax(1), torch.full((2, 4, 5), IGNORE), weight_tensor(weights))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_gradcheck(size: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, *size))
    target[0, 0] = IGNORE
    weight = weight_tensor((1.0, 1.7, 5.0))
    assert torch.autograd.gradcheck(lambda x: size_adaptive_cross_entropy(x.log_softmax(1), target, weight), (logits,))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_weights_must_be_positive(bad: float) -> None:
    with pytest.raises(PlanError, match="above 0"):
        weight_tensor((1.0, bad))
