"""Deep supervision: the same loss at every decoder scale, the finest counting most.

Weights are 1, 1/2, 1/4 ... from the finest, the coarsest 0, scaled to the sum 1: three outputs count 2/3, 1/3, 0. The
target is sampled down by the nearest voxel centre, for a factor of 2 every second voxel from the second on:
0 [1] 2 [3] 4 [5].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def scale_weights(outputs: int) -> tuple[float, ...]:
    """Weight of each output, finest first; they sum to 1. Raises ValueError for less than one output."""
    if outputs < 1:
        raise ValueError(f"deep supervision needs at least one output, found {outputs}")
    raw = [1 / 2**i for i in range(outputs)]
    if outputs > 1:
        raw[-1] = 0.0
    return tuple(weight / sum(raw) for weight in raw)


def sample_target(target: Tensor, shape: Sequence[int]) -> Tensor:
    """(B, *patch) -> (B, *shape), each voxel the target at its own centre.

    Equal to `torch.nn.functional.interpolate(mode="nearest-exact")`, without its way through floating point.
    """
    for axis, (size, wanted) in enumerate(zip(target.shape[1:], shape, strict=True), start=1):
        step = size // wanted
        if step * wanted == size:
            target = target[(slice(None),) * axis + (slice(step // 2, None, step),)]
        else:
            centres = torch.arange(wanted, device=target.device)
            target = target.index_select(axis, (2 * centres + 1) * size // (2 * wanted))
    return target.contiguous()


class DeepSupervision(nn.Module):
    """The weighted sum of a loss over the outputs of a network."""

    def __init__(
        self, loss: Callable[..., Tensor], outputs: int, weigh: Callable[..., Tensor | None] | None = None
    ) -> None:
        """`loss` takes logits (B, K, *shape), a target (B, *shape) and weights, or None; `outputs` counts them.

        `weigh` makes the weights from the target at full resolution and what comes with it; those of voxels are sampled
        to each scale as the target is.
        """
        super().__init__()
        self.loss, self.weigh, self.weights = loss, weigh, scale_weights(outputs)

    def forward(self, outputs: tuple[Tensor, ...], target: Tensor, *sizes: Tensor) -> Tensor:
        """A scalar from logits, finest first, the target (B, *patch), and the `sizes` alike where weights go by them.

        A single output, as the network gives in evaluation mode, is scored alone with weight 1. Raises
        ValueError for any other number of outputs than planned and for a target of another size.
        """
        if len(outputs) not in (1, len(self.weights)):
            raise ValueError(f"{len(outputs)} outputs, expected {len(self.weights)} or the finest alone")
        if outputs[0].shape[2:] != target.shape[1:]:
            raise ValueError(f"target {tuple(target.shape)} does not fit logits {tuple(outputs[0].shape)}")
        weights = self.weights if len(outputs) == len(self.weights) else (1.0,)
        given = None if self.weigh is None else self.weigh(target, *sizes)
        terms = []
        for weight, logits in zip(weights, outputs, strict=True):
            if weight:
                shape = logits.shape[2:]
                # weights of classes (K,) are of no place
                there = given if given is None or given.ndim == 1 else sample_target(given, shape)
                terms.append(weight * self.loss(logits, sample_target(target, shape), there))
        return torch.stack(terms).sum()
