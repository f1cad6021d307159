"""The planned loss: soft Dice plus (size-adaptive) cross entropy, 1:1, at every scale."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from autospine.losses.deep_supervision import DeepSupervision
from autospine.losses.dice import loss_inputs, soft_dice_loss
from autospine.losses.regions import Membership, RegionDiceCrossEntropy
from autospine.losses.size_adaptive import BatchWeights, ComponentWeights, size_adaptive_cross_entropy, weight_tensor
from autospine.planning.document.parts import LossPlan


class DiceCrossEntropy(nn.Module):
    """Soft Dice plus cross entropy from one log-softmax, in float32 under autocast too."""

    weight: Tensor | None

    def __init__(self, *, class_weights: tuple[float, ...], batch_dice: bool, smooth: float) -> None:
        """`class_weights` background first; all ones give plain cross entropy."""
        super().__init__()
        self.register_buffer("weight", weight_tensor(class_weights), persistent=False)
        self.classes, self.batch_dice, self.smooth = len(class_weights), batch_dice, smooth

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """A scalar of at least -1 from logits (B, K, *patch) and target (B, *patch), values 0..K-1 or IGNORED.

        A `weight` (K,), or (B, *patch) of each voxel, takes the place of the class weights.
        Raises ValueError where the number of classes or the sizes differ.
        """
        logits, target = loss_inputs(logits, target, self.classes, "classes")
        with torch.autocast(logits.device.type, enabled=False):
            log_probabilities = F.log_softmax(logits, dim=1)
            dice = soft_dice_loss(log_probabilities.exp(), target, batch_dice=self.batch_dice, smooth=self.smooth)
            weight = self.weight if weight is None else weight
            return dice + size_adaptive_cross_entropy(log_probabilities, target, weight)


def build_loss(plan: LossPlan, outputs: int, membership: Membership | None = None) -> DeepSupervision:
    """The loss of a network with `outputs` outputs: called with (outputs, target (B, *patch) int64) -> scalar.

    Where the plan has a `largest_size` it takes the sizes of components (B, *patch) as a third argument.
    With a `membership` the network's channels are its regions, and the target holds the classes that they are made of.
    """
    kind = DiceCrossEntropy if membership is None else partial(RegionDiceCrossEntropy, membership)
    loss = kind(class_weights=plan.class_weights, batch_dice=plan.batch_dice, smooth=plan.smooth)
    weigh: BatchWeights | ComponentWeights | None = None
    if plan.largest_size is not None:
        weigh = ComponentWeights(plan.largest_size, plan.alpha, plan.weight_cap)
    if plan.usual_sizes is not None:
        weigh = BatchWeights(plan.usual_sizes, plan.alpha, plan.weight_cap, membership)
    return DeepSupervision(loss, outputs, weigh)
