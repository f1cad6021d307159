"""The loss of overlapping regions, by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch.nn import functional as F

from autospine.data.structure import IGNORED
from autospine.losses.build import build_loss
from autospine.losses.regions import Membership, RegionDiceCrossEntropy
from autospine.planning.document.parts import LossPlan

REGIONS = Membership(((1, 2, 3), (2, 3)), 3)


def test_a_class_lies_in_its_regions() -> None:
    held = REGIONS(torch.tensor([[0, 1, 2, 3, IGNORED]]))
    assert held.tolist() == [[[False, True, True, True, False], [False, False, True, True, False]]]


def test_by_hand() -> None:
    """Four voxels of classes 0, 1, 2 and unknown; every probability is 1/2.

    whole: I = 1, P = 1.5, G = 2, Dice 2/3.5; core: I = 0.5, P = 1.5, G = 1, Dice 1/2.5. Every BCE is log 2.
    """
    loss = RegionDiceCrossEntropy(REGIONS, class_weights=(1.0, 1.0), batch_dice=False, smooth=0.0)
    found = loss(torch.zeros(1, 2, 4), torch.tensor([[0, 1, 2, IGNORED]]))
    assert float(found) == pytest.approx(log(2) - (2 / 3.5 + 1 / 2.5) / 2)


def test_weights_count_inside_their_region_alone() -> None:
    """One voxel of class 1: in whole, weight 1 (BCE a), not in core, weight 1 although core weighs 5 (BCE b)."""
    logits = torch.tensor([[[2.0], [-1.0]]])
    loss = RegionDiceCrossEntropy(REGIONS, class_weights=(3.0, 5.0), batch_dice=False, smooth=1e-5)
    plain = RegionDiceCrossEntropy(REGIONS, class_weights=(1.0, 1.0), batch_dice=False, smooth=1e-5)
    a, b = F.softplus(torch.tensor(-2.0)), F.softplus(torch.tensor(-1.0))
    target = torch.tensor([[1]])
    assert float(loss(logits, target) - plain(logits, target)) == pytest.approx(float((3 * a + b) / 4 - (a + b) / 2))


@pytest.mark.parametrize("batch_dice", [True, False])
@pytest.mark.parametrize("size", [(3, 4), (2, 3, 2)])
def test_gradcheck(size: tuple[int, ...], batch_dice: bool) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 2, *size, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 4, (2, *size))
    target[1, 0] = IGNORED
    loss = RegionDiceCrossEntropy(REGIONS, class_weights=(1.0, 2.0), batch_dice=batch_dice, smooth=1e-5)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits,))


def test_what_is_ignored_has_no_part_in_it() -> None:
    torch.manual_seed(2)
    logits, target = torch.randn(1, 2, 6), torch.tensor([[0, 1, 2, 3, IGNORED, IGNORED]])
    loss = build_loss(LossPlan("dice_ce", (1.0, 1.0), batch_dice=True), 1, REGIONS)
    torch.testing.assert_close(loss((logits,), target), loss((logits[..., :4],), target[..., :4]))
    nothing = torch.randn(1, 2, 6, requires_grad=True)
    found = loss((nothing,), torch.full((1, 6), IGNORED))
    found.backward()
    assert float(found.detach()) == pytest.approx(-1)
    assert nothing.grad is not None and not nothing.grad.any()


def test_another_number_of_regions_is_refused() -> None:
    loss = build_loss(LossPlan("dice_ce", (1.0, 1.0), batch_dice=True), 1, REGIONS)
    with pytest.raises(ValueError, match="2 regions"):
        loss((torch.zeros(1, 3, 4),), torch.zeros(1, 4, dtype=torch.int64))
