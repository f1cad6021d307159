from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.data.structure import IGNORED
from autospine.errors import PlanError
from autospine.losses.build import build_loss
from autospine.losses.regions import Membership
from autospine.losses.size_adaptive import BatchWeights, ComponentWeights, size_adaptive_cross_entropy, weight_tensor
from autospine.planning.document.parts import LossPlan


def test_three_classes_by_hand() -> None:
    # p[y] = 1/2, 1/4, 1/8; w = 1, 2, 5: (log 2 + 2 * 2 log 2 + 5 * 3 log 2) / 8 = 20/8 log 2
    log_p = torch.tensor([[1 / 2, 1 / 4, 1 / 4], [1 / 4, 1 / 4, 1 / 2], [1 / 2, 3 / 8, 1 / 8]]).log()
    log_p = log_p.T[None]  # (1, classes, voxels)
    target = torch.tensor([[0, 1, 2]])
    loss = size_adaptive_cross_entropy(log_p, target, weight_tensor((1.0, 2.0, 5.0)))
    assert loss.item() == pytest.approx(20 / 8 * math.log(2), rel=1e-6)
    # With the last voxel ignored: (1 + 4) / 3 log 2
    target[0, 2] = IGNORED
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
        target[:, :3] = IGNORED
    ours = size_adaptive_cross_entropy(a.log_softmax(1), target, weight_tensor((1.0,) * 4))
    plain = F.cross_entropy(b, target, ignore_index=IGNORED)
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
    loss = size_adaptive_cross_entropy(logits.log_softmax(1), torch.full((2, 4, 5), IGNORED), weight_tensor(weights))
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_gradcheck(size: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, *size))
    target[0, 0] = IGNORED
    weight = weight_tensor((1.0, 1.7, 5.0))
    assert torch.autograd.gradcheck(lambda x: size_adaptive_cross_entropy(x.log_softmax(1), target, weight), (logits,))


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_weights_must_be_positive(bad: float) -> None:
    with pytest.raises(PlanError, match="above 0"):
        weight_tensor((1.0, bad))


def drawn(*counts: tuple[int, ...]) -> Tensor:
    """A target (B, 1, 1000): in each sample the first voxels are class 1, the next class 2, and so on."""
    rows = [
        [value for value, count in enumerate(sample, 1) for _ in range(count)] + [0] * (1000 - sum(sample))
        for sample in counts
    ]
    return torch.tensor(rows)[:, None]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        # class 1 as usual, class 2 not there: the usual sizes, 100 and 25
        (drawn((100, 0)), (1.0, 2.0)),
        # four times as large as usual: sqrt(100 * 400) = 200 against 25
        (drawn((400, 0)), (1.0, 8**0.5)),
        # 300 and 100 voxels in two samples of three: 200 a sample, sqrt(100 * 200) = 141.4
        (drawn((300, 0), (100, 0), (0, 0)), (1.0, (20000**0.5 / 25) ** 0.5)),
        # class 2 is larger than class 1 here: sqrt(25 * 400) = 100, sqrt(100 * 4) = 20
        (drawn((4, 400)), (5**0.5, 1.0)),
        # a corner of class 1, under a hundredth of it, says nothing of its size
        (drawn((0, 25)), (1.0, 2.0)),
    ],
)
def test_weights_of_a_batch_by_hand(target: Tensor, expected: tuple[float, float]) -> None:
    weights = BatchWeights((100.0, 25.0), 0.5, 5.0)(target)
    torch.testing.assert_close(weights, torch.tensor((1.0, *expected)))


def test_a_corner_of_a_class_does_not_make_it_a_small_one() -> None:
    weigh = BatchWeights((1000.0, 25.0), 0.5, 50.0)
    torch.testing.assert_close(weigh(drawn((9, 0))), weigh(drawn((0, 0))))
    assert weigh(drawn((10, 0)))[2] < weigh(drawn((9, 0)))[2]


def test_weights_of_a_batch_are_capped_and_leave_out_what_never_occurs() -> None:
    weigh = BatchWeights((100.0, 0.0, 1.0), 1.0, 5.0)
    torch.testing.assert_close(weigh(drawn((100, 50, 1))), torch.tensor((1.0, 1.0, 1.0, 5.0)))


def test_what_is_ignored_has_no_size() -> None:
    target = drawn((400, 0))
    target[0, 0, 100:400] = IGNORED
    weigh = BatchWeights((100.0, 25.0), 0.5, 5.0)
    torch.testing.assert_close(weigh(target), weigh(drawn((100, 0))))


def test_regions_are_counted_whole() -> None:
    weigh = BatchWeights((100.0, 25.0), 0.5, 5.0, Membership(((1, 2), (2,)), 2))
    # 400 in the whole, 100 of them in the core: sqrt(100 * 400) and sqrt(25 * 100)
    torch.testing.assert_close(weigh(drawn((300, 100))), torch.tensor((1.0, 2.0)))


def test_counts_of_all_ranks_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weigh, target = BatchWeights((100.0, 25.0), 0.5, 5.0), drawn((300, 0))
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        torch.testing.assert_close(weigh(target), torch.tensor((1.0, 1.0, (30000**0.5 / 25) ** 0.5)))
        # another rank that saw 100 voxels of class 1 in one sample
        other = torch.tensor([[100.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: sums.add_(other))
        torch.testing.assert_close(weigh(target), torch.tensor((1.0, 1.0, (20000**0.5 / 25) ** 0.5)))
    finally:
        torch.distributed.destroy_process_group()


def test_the_weights_of_a_batch_come_from_the_full_resolution_once() -> None:
    plan = LossPlan("dice_size_adaptive_ce", (1.0, 1.0, 2.0), True, usual_sizes=(16.0, 4.0))
    loss = build_loss(plan, 3)
    target = torch.zeros(1, 8, 8, dtype=torch.int64)
    target[0, :4, :4], target[0, 5, 5] = 1, 2
    seen: list[Tensor] = []
    weigh = loss.weigh
    assert isinstance(weigh, BatchWeights)
    weigh.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    outputs = tuple(torch.randn(1, 3, size, size) for size in (8, 4, 2))
    found = loss(outputs, target)
    assert len(seen) == 1 and seen[0].shape == (1, 8, 8)
    weights = tuple(weigh(target).tolist())
    assert weights == pytest.approx((1.0, 1.0, (16 / 2) ** 0.5))
    fixed = build_loss(LossPlan("dice_size_adaptive_ce", weights, True), 3)
    torch.testing.assert_close(found, fixed(outputs, target))


LOG_P = torch.tensor([[[1 / 2, 1 / 4, 1 / 4, 1 / 4], [1 / 4, 1 / 4, 1 / 4, 1 / 2], [1 / 4, 1 / 2, 1 / 2, 1 / 4]]]).log()
"""(1, 3 classes, 4 voxels)"""


def test_components_by_hand() -> None:
    """Background, two lesions of class 1 with 16 and 4 voxels and one of class 2 with 64, where 64 weighs 1."""
    target, sizes = torch.tensor([[0, 1, 1, 2]]), torch.tensor([[0.0, 16.0, 4.0, 64.0]])
    weights = ComponentWeights(64.0, 0.5, 3.0)(target, sizes)
    # 1; sqrt(64 / 16) = 2; sqrt(64 / 4) = 4, at most 3; 1
    assert weights is not None and weights.tolist() == [[1.0, 2.0, 3.0, 1.0]]
    # p[y] = 1/2, 1/4, 1/4, 1/4: (1 + 2 * 2 + 3 * 2 + 1 * 2) / 7 log 2
    assert size_adaptive_cross_entropy(LOG_P, target, weights).item() == pytest.approx(13 / 7 * math.log(2), rel=1e-6)
    # with the small lesion ignored, whatever it would weigh: (1 + 4 + 2) / 4 log 2
    target[0, 2] = IGNORED
    assert size_adaptive_cross_entropy(LOG_P, target, weights).item() == pytest.approx(7 / 4 * math.log(2), rel=1e-6)


def test_what_has_no_size_weighs_1() -> None:
    """The background within a component's reach, a class that no size is known of, and what is ignored."""
    target, sizes = torch.tensor([[0, 1, IGNORED, 1]]), torch.tensor([[4.0, 0.0, 4.0, 4.0]])
    weights = ComponentWeights(16.0, 0.5, 5.0)(target, sizes)
    assert weights is not None and weights.tolist() == [[1.0, 1.0, 1.0, 2.0]]


@pytest.mark.parametrize("size", [(9, 11), (5, 6, 7)])
@pytest.mark.parametrize(
    ("largest", "alpha", "cap"), [(30.0, 0.0, 5.0), (30.0, 0.5, 1.0), (10.0, 0.5, 5.0), (0.0, 0.5, 5.0)]
)
def test_components_that_weigh_1_are_plain_cross_entropy_to_the_bit(
    size: tuple[int, ...], largest: float, alpha: float, cap: float
) -> None:
    """No exponent, no room above 1, no component below the largest size, nothing to be small beside."""
    torch.manual_seed(0)
    a = torch.randn(2, 4, *size, requires_grad=True)
    b = a.detach().clone().requires_grad_()
    target = torch.randint(-1, 4, (2, *size))
    sizes = torch.randint(10, 40, (2, *size)) * (target > 0)
    target[target < 0] = IGNORED
    plan = LossPlan("dice_size_adaptive_ce", (1.0,) * 4, True, alpha=alpha, weight_cap=cap, largest_size=largest)
    ours = build_loss(plan, 1)((a,), target, sizes.float())
    plain = build_loss(LossPlan("dice_ce", (1.0,) * 4, True), 1)((b,), target)
    assert torch.equal(ours, plain)
    ours.backward()
    plain.backward()
    assert a.grad is not None and b.grad is not None and torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("size", [(9, 11), (5, 6, 7)])
def test_components_of_one_size_per_class_are_the_loss_by_class(size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 3, *size), torch.randint(-1, 3, (2, *size))
    sizes = torch.tensor([0.0, 100.0, 25.0])[target.clamp(min=0)]
    target[target < 0] = IGNORED
    by_component = build_loss(LossPlan("dice_size_adaptive_ce", (1.0,) * 3, True, largest_size=100.0), 1)
    by_class = build_loss(LossPlan("dice_size_adaptive_ce", (1.0, 1.0, 2.0), True), 1)
    torch.testing.assert_close(by_component((logits,), target, sizes), by_class((logits,), target))


@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_gradcheck_by_component(size: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    target, sizes = torch.randint(0, 3, (2, *size)), torch.randint(1, 60, (2, *size)).float()
    target[0, 0] = IGNORED
    loss = build_loss(LossPlan("dice_size_adaptive_ce", (1.0,) * 3, False, largest_size=50.0), 1)
    weights = ComponentWeights(50.0, 0.5, 5.0)(target, sizes)
    assert weights is not None and weights.unique().numel() > 3
    assert torch.autograd.gradcheck(lambda x: size_adaptive_cross_entropy(x.log_softmax(1), target, weights), (logits,))
    assert torch.autograd.gradcheck(lambda x: loss((x,), target, sizes), (logits,))


def test_all_ignored_by_component_is_zero_with_zero_gradient() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    weights = torch.full((2, 4, 5), 2.0)
    loss = size_adaptive_cross_entropy(logits.log_softmax(1), torch.full((2, 4, 5), IGNORED), weights)
    loss.backward()
    assert loss.item() == 0 and logits.grad is not None and torch.equal(logits.grad, torch.zeros_like(logits))


def test_by_component_it_is_float32_under_autocast() -> None:
    torch.manual_seed(0)
    half, target = torch.randn(2, 3, 8, 8).bfloat16(), torch.randint(0, 3, (2, 8, 8))
    sizes = torch.randint(1, 60, (2, 8, 8)).float()
    loss = build_loss(LossPlan("dice_size_adaptive_ce", (1.0,) * 3, True, largest_size=50.0), 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = loss((half,), target, sizes)
    assert under.dtype == torch.float32
    assert torch.equal(under, loss((half.float(),), target, sizes))


def test_weights_of_components_are_sampled_as_the_target_is() -> None:
    """Three scales of 2/3, 1/3 and 0: the second sees every second voxel from the second on."""
    torch.manual_seed(0)
    plan = LossPlan("dice_size_adaptive_ce", (1.0,) * 3, True, largest_size=50.0)
    target, sizes = torch.randint(0, 3, (1, 8, 8)), torch.randint(1, 60, (1, 8, 8)).float()
    outputs = tuple(torch.randn(1, 3, edge, edge) for edge in (8, 4, 2))
    single = build_loss(plan, 1)
    second = single((outputs[1],), target[:, 1::2, 1::2], sizes[:, 1::2, 1::2])
    expected = 2 / 3 * single((outputs[0],), target, sizes) + 1 / 3 * second
    torch.testing.assert_close(build_loss(plan, 3)(outputs, target, sizes), expected)


def test_sizes_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ComponentWeights(10.0, 0.5, 5.0)(torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 4, 5))
