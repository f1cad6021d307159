"""Size-adaptive cross entropy: small anatomy counts more, by the size the whole training set gives it.

    L = sum_v w[y_v] CE_v / sum_v w[y_v]

over the voxels that are not ignored. Our own definition, after the idea of Zhang et al. 2023
(doi 10.1145/3587716.3587777) of reshaping cross entropy by anatomy size; the weights are made by the planner
(`autospine.planning.rules.size_adaptive_weights`). Equal weights are plain cross entropy to the bit.

    three classes, one voxel each, p[y] = 1/2, 1/4, 1/8 and w = 1, 2, 5:
    L = (1 log 2 + 2 log 4 + 5 log 8) / 8 = 20/8 log 2
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from autospine.errors import PlanError
from autospine.losses.dice import IGNORE


def weight_tensor(class_weights: tuple[float, ...]) -> Tensor | None:
    """Float32 weights (K,), or None where all are 1: no weight at all takes torch's plain path.

    Raises PlanError for a weight that is not above zero: the mean could be one over nothing.
    """
    if any(not weight > 0 for weight in class_weights):
        raise PlanError("plan: loss.class_weights", f"{class_weights}", "numbers above 0 (the planner gives 1 to 5)")
    return None if all(weight == 1 for weight in class_weights) else torch.tensor(class_weights, dtype=torch.float32)


def size_adaptive_cross_entropy(log_probabilities: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted mean of -log p[y] over the voxels that count, a scalar; 0 where every voxel is ignored.

    `log_probabilities` (B, K, *patch) float32 or float64 from a log-softmax over K; `target` (B, *patch) int64
    with values 0..K-1 or IGNORE; `weight` (K,) from `weight_tensor`.
    """
    weight = None if weight is None else weight.to(log_probabilities.dtype)
    loss = F.nll_loss(log_probabilities, target, weight, ignore_index=IGNORE)
    # The mean over nothing is 0 / 0; `where` gives it the value 0 and the gradient 0.
    return torch.where((target != IGNORE).any(), loss, torch.zeros_like(loss))
