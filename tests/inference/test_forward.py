"""The mean over networks and mirrorings, by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autospine.inference.forward import Forward
from autospine.inference.mirroring import Mirroring

CPU = torch.device("cpu")


class Along(nn.Module):
    """Says where a voxel is along the last axis, times a factor: of a mirrored input another thing."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.factor * torch.arange(x.shape[-1]).expand_as(x).to(x.dtype),)


def test_the_mean_is_that_of_all_members() -> None:
    turns = (Mirroring(()), Mirroring((3,)))
    forward = Forward((Along(1.0), Along(3.0)), turns, CPU, "float32")
    inputs = torch.zeros(2, 1, 2, 4)
    said = [member.clone() for member in forward.members(inputs)]
    assert forward.count == len(said) == 4
    straight, mirrored = torch.tensor([0.0, 1, 2, 3]), torch.tensor([3.0, 2, 1, 0])
    for member, expected in zip(said, (straight, 3 * straight, mirrored, 3 * mirrored), strict=True):
        assert torch.equal(member, expected.expand_as(member))
    # (0 + 1 + 2 + 3) / 2 of either network, wherever the voxel is
    assert torch.equal(forward(inputs), torch.full((2, 1, 2, 4), 3.0))


def test_one_member_speaks_for_itself() -> None:
    forward = Forward((Along(2.0),), (Mirroring(()),), CPU, "float32")
    assert torch.equal(forward(torch.zeros(1, 1, 1, 3)), torch.tensor([[[[0.0, 2, 4]]]]))
