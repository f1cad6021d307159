"""Size-adaptive cross entropy: small anatomy counts more, by the size the whole training set gives it.

    L = sum_v w[y_v] CE_v / sum_v w[y_v]

over the voxels that are not ignored. Our own definition, after the idea of Zhang et al. 2023
(doi 10.1145/3587716.3587777); the planner makes the weights (`planning.decide.loss.size_adaptive_weights`). Equal
weights are plain cross entropy to the bit.

    three classes, one voxel each, p[y] = 1/2, 1/4, 1/8 and w = 1, 2, 5:
    L = (1 log 2 + 2 log 4 + 5 log 8) / 8 = 20/8 log 2

By components (lesions) each voxel has a weight of its own, by the size of the component that it lies in.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from autospine.data.structure import IGNORED
from autospine.errors import PlanError

LEAST_SHARE = 0.01
"""Share of its usual size that a class must reach in a batch for the batch to count."""


def weight_tensor(class_weights: tuple[float, ...]) -> Tensor | None:
    """Float32 weights (K,), or None where all are 1: no weight at all takes torch's plain path.

    Raises PlanError for a weight that is not above zero: the mean could be one over nothing.
    """
    if any(not weight > 0 for weight in class_weights):
        raise PlanError("plan: loss.class_weights", f"{class_weights}", "numbers above 0 (the planner gives 1 to 5)")
    return None if all(weight == 1 for weight in class_weights) else torch.tensor(class_weights, dtype=torch.float32)


class BatchWeights(nn.Module):
    """Weights of a step, by the usual sizes of what is segmented blended with those in its batch.

    n_c is the number of voxels of c over the samples that hold c, in the batches of all ranks together:

        s'_c = sqrt(s_c n_c)  where n_c >= 0.01 s_c,  else s_c         w_c = clip((max_k s'_k / s'_c) ** alpha, 1, W)

    A patch that cuts a class off at its border does not make it a tiny one: hence the blend and the floor. Classes that
    no training case has weigh 1, as the background does. Our own definition (docs/papers.md).
    """

    usual: Tensor

    def __init__(
        self, usual_sizes: tuple[float, ...], alpha: float, cap: float, membership: nn.Module | None = None
    ) -> None:
        """`membership` tells of regions which voxels lie in them; without it c is class 1, 2 ..."""
        super().__init__()
        self.register_buffer("usual", torch.tensor(usual_sizes, dtype=torch.float64), persistent=False)
        self.alpha, self.cap, self.membership = alpha, cap, membership

    @torch.no_grad()
    def forward(self, target: Tensor) -> Tensor:
        """Float32 weights of a target (B, *patch), int64 class indices or IGNORED: background first, or per region."""
        counts = self._counts(target)
        sums = torch.stack((counts.sum(0), (counts > 0).sum(0))).double()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        size = sums[0] / sums[1].clamp(min=1)
        blended = torch.where(size >= LEAST_SHARE * self.usual, (self.usual * size).sqrt(), self.usual)
        weights = ((blended.max() / blended.clamp(min=1e-12)) ** self.alpha).clamp(1, self.cap)
        weights = torch.where(self.usual > 0, weights, torch.ones_like(weights)).float()
        return weights if self.membership is not None else torch.cat((weights.new_ones(1), weights))

    def _counts(self, target: Tensor) -> Tensor:
        """Voxels (B, C) of each class or region."""
        if self.membership is not None:
            inside: Tensor = self.membership(target)
            return inside.flatten(2).sum(2)
        classes = len(self.usual)
        offset = torch.arange(len(target), device=target.device)[:, None] * (classes + 2)
        # bin 0 of a sample holds the background, the last one what is ignored
        held = target.flatten(1).clamp(max=classes + 1)
        bins = torch.bincount((held + offset).flatten(), minlength=len(target) * (classes + 2))
        return bins.view(len(target), -1)[:, 1:-1]


class ComponentWeights(nn.Module):
    """Weights of the voxels of a step, by the size n of the connected component (lesion) that each lies in.

        w_v = clip((largest / n) ** alpha, 1, W)        1 in the background and where no size is known

    `largest` is the usual size of the largest class; components were measured whole where cases were prepared, so that
    the border of a patch makes none smaller. Our own definition (docs/papers.md).
    """

    def __init__(self, largest: float, alpha: float, cap: float) -> None:
        """`largest` in voxels, in 2D in pixels per slice, as the sizes are."""
        super().__init__()
        self.largest, self.alpha, self.cap = largest, alpha, cap

    @torch.no_grad()
    def forward(self, target: Tensor, sizes: Tensor) -> Tensor | None:
        """Float32 weights (B, *patch) of a target (B, *patch) and the sizes (B, *patch) of its components.

        None where all are 1, as far as it costs nothing to know. Raises ValueError where the shapes differ.
        """
        if target.shape != sizes.shape:
            raise ValueError(f"sizes {tuple(sizes.shape)} do not fit target {tuple(target.shape)}")
        if self.alpha == 0 or self.cap == 1:
            return None
        weights = ((self.largest / sizes.float()) ** self.alpha).clamp(1, self.cap)
        weights.masked_fill_((target == 0) | (target == IGNORED) | (sizes <= 0), 1)
        # On a GPU the question would stop the queue of work: there, weights of 1 are multiplied with.
        return None if weights.device.type == "cpu" and bool((weights == 1).all()) else weights


def size_adaptive_cross_entropy(log_probabilities: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted mean of -log p[y] over the voxels that count, a scalar; 0 where every voxel is ignored.

    `log_probabilities` (B, K, *patch) float32 or float64; `target` (B, *patch) int64 with values 0..K-1 or IGNORED;
    `weight` (K,) or (B, *patch).
    """
    weight = None if weight is None else weight.to(log_probabilities.dtype)
    if weight is not None and weight.ndim > 1:
        each = F.nll_loss(log_probabilities, target, reduction="none", ignore_index=IGNORED)  # 0 where ignored
        known = torch.where(target != IGNORED, weight, torch.zeros_like(weight))
        return (each * known).sum() / known.sum().clamp(min=1)
    loss = F.nll_loss(log_probabilities, target, weight, ignore_index=IGNORED)
    # The mean over nothing is 0 / 0; `where` gives it the value 0 and the gradient 0.
    return torch.where((target != IGNORED).any(), loss, torch.zeros_like(loss))
