from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from autospine.losses.deep_supervision import DeepSupervision, sample_target, scale_weights


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [(1, (1.0,)), (2, (1.0, 0.0)), (3, (2 / 3, 1 / 3, 0.0)), (5, (8 / 15, 4 / 15, 2 / 15, 1 / 15, 0.0))],
)
def test_weights_by_hand(outputs: int, expected: tuple[float, ...]) -> None:
    assert scale_weights(outputs) == pytest.approx(expected)
    assert scale_weights(outputs)[-1] == expected[-1]


def test_no_output_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        scale_weights(0)


def test_target_by_hand() -> None:
    target = torch.arange(6)[None]
    assert sample_target(target, (3,)).tolist() == [[1, 3, 5]]
    assert sample_target(target, (2,)).tolist() == [[1, 4]]
    # Centres of 4 of 6: 0.75, 2.25, 3.75, 5.25
    assert sample_target(target, (4,)).tolist() == [[0, 2, 3, 5]]
    assert sample_target(target, (6,)).tolist() == target.tolist()


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((8, 12), (4, 3)),
        ((32, 48), (1, 3)),
        ((4, 8, 16), (4, 4, 4)),
        ((20, 16, 24), (5, 8, 3)),
        ((5, 7, 9), (3, 4, 5)),
        ((3, 5), (2, 3)),
    ],
)
def test_target_equals_nearest_exact(size: tuple[int, ...], shape: tuple[int, ...]) -> None:
    target = torch.randint(-1, 9, (2, *size))
    expected = F.interpolate(target[:, None].double(), shape, mode="nearest-exact")[:, 0].long()
    ours = sample_target(target, shape)
    assert torch.equal(ours, expected) and ours.is_contiguous()


def test_sum_by_hand_and_the_coarsest_is_never_computed() -> None:
    seen: list[tuple[int, ...]] = []

    def loss(logits: Tensor, target: Tensor, weights: None) -> Tensor:
        assert logits.shape[2:] == target.shape[1:]
        seen.append(tuple(target.shape[1:]))
        return logits.mean()

    outputs = tuple(torch.full((1, 2, 4 * n, 2 * n), float(n)) for n in (4, 2, 1))
    total = DeepSupervision(loss, 3)(outputs, torch.zeros(1, 16, 8, dtype=torch.int64))
    assert total.item() == pytest.approx(4 * 2 / 3 + 2 * 1 / 3)
    assert seen == [(16, 8), (8, 4)]


def test_the_finest_alone_counts_whole_and_other_numbers_are_refused() -> None:
    supervised = DeepSupervision(lambda logits, target, weights: logits.mean(), 3)
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    output = torch.full((1, 2, 2, 2), 3.0)
    assert supervised((output,), target).item() == 3
    with pytest.raises(ValueError, match="2 outputs, expected 3"):
        supervised((output, output), target)
