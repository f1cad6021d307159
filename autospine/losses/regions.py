"""Soft Dice plus cross entropy of overlapping regions: each output is a yes or no of its own.

    a target voxel of class 3, regions whole = {1, 2, 3}, core = {2, 3}, enhancing = {3}, edema = {1}:  yes yes yes no

    L = L_Dice + sum_rv w_rv BCE_rv / sum_rv w_rv        w_rv = w[r] where voxel v lies in region r, else 1

After nnU-Net's loss for regions, made for BraTS (Isensee et al. 2021); the weights carry the size-adaptive cross
entropy over to them: voxels of small regions count more.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from autospine.data.structure import IGNORED
from autospine.losses.dice import dice_of, loss_inputs
from autospine.planning.document.data import DataPlan


class Membership(nn.Module):
    """Which regions a class lies in."""

    table: Tensor

    def __init__(self, members: Sequence[Sequence[int]], classes: int) -> None:
        """Of regions with these members: a row each, a column for background, each class and what is in none."""
        super().__init__()
        table = [[value in held for value in range(classes + 2)] for held in members]
        self.register_buffer("table", torch.tensor(table), persistent=False)

    @staticmethod
    def of(data: DataPlan) -> Membership | None:
        """That of the regions of `data`, if it has any."""
        return Membership(data.members, data.classes) if data.regions else None

    def forward(self, target: Tensor) -> Tensor:
        """Bool (B, R, *patch) of a target (B, *patch) int64; where that is `IGNORED`, no region."""
        return self.table[:, target.clamp(max=self.table.shape[1] - 1)].transpose(0, 1)


class RegionDiceCrossEntropy(nn.Module):
    """Soft Dice plus binary cross entropy of the sigmoids, in float32 under autocast too."""

    weight: Tensor

    def __init__(
        self, membership: Membership, *, class_weights: tuple[float, ...], batch_dice: bool, smooth: float
    ) -> None:
        """`class_weights` has one per region."""
        super().__init__()
        self.membership = membership
        self.register_buffer("weight", torch.tensor(class_weights, dtype=torch.float32), persistent=False)
        self.batch_dice, self.smooth = batch_dice, smooth

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """A scalar of at least -1 from logits (B, R, *patch) and target (B, *patch), class indices or IGNORED.

        A `weight` (R,) takes the place of the class weights. A region absent from target and prediction counts as Dice
        1. Raises ValueError where the number of regions or the sizes differ.
        """
        logits, target = loss_inputs(logits, target, len(self.weight), "regions")
        with torch.autocast(logits.device.type, enabled=False):
            known = (target != IGNORED).to(logits.dtype)[:, None]
            inside = self.membership(target).to(logits.dtype)
            space = tuple(range(2, logits.ndim))
            probabilities = logits.sigmoid() * known
            sums = [part.sum(space) for part in (probabilities * inside, probabilities, inside)]
            dice = dice_of(sums, batch_dice=self.batch_dice, smooth=self.smooth)
            within = (self.weight if weight is None else weight).to(logits.dtype).view(1, -1, *(1 for _ in space))
            weights = known * torch.where(inside > 0, within, torch.ones_like(within))
            entropy = F.binary_cross_entropy_with_logits(logits, inside, reduction="none")
            # where every voxel is ignored both sums are 0
            return (entropy * weights).sum() / weights.sum().clamp(min=1e-8) - dice.mean()
