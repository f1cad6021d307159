"""Soft Dice of the softmax probabilities, background left out.

    Dice_c = (2 I_c + smooth) / max(S_c + G_c + smooth, 1e-8)      loss = -mean of Dice_c over c > 0
    I_c = sum of p_c where the target is c,  S_c = sum of p_c,  G_c = number of voxels that are c

Sums run over a sample's voxels, or over the whole batch's (batch Dice). The target stays a label map: what
a one-hot volume would be multiplied for is picked out of the probabilities by index.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autospine.data.structure import IGNORED


def loss_inputs(logits: Tensor, target: Tensor, outputs: int, what: str) -> tuple[Tensor, Tensor]:
    """Logits (B, `outputs`, *patch) in float32 (or float64, as given) and their target (B, *patch) in int64.

    Raises ValueError where the sizes differ, or the number of outputs, which are `what`.
    """
    if logits.shape[1] != outputs or logits.shape[2:] != target.shape[1:] or len(logits) != len(target):
        raise ValueError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} do not fit {outputs} {what}")
    return logits if logits.dtype == torch.float64 else logits.float(), target.long()


class _Sums(torch.autograd.Function):
    """(I, S, G), each (B, K), of probabilities (B, K, N) and target (B, N); gradients to the probabilities."""

    @staticmethod
    def forward(ctx: Any, probabilities: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, classes, _ = probabilities.shape
        valid = _valid(target)
        index, bins = (target, target) if valid is None else (target * valid, target.clamp(max=classes))
        own = probabilities.gather(1, index[:, None])[:, 0]
        # The last bin of each sample collects what is ignored: bins of sample b are b (K + 1) ... b (K + 1) + K.
        bins = (bins + torch.arange(batch, device=target.device)[:, None] * (classes + 1)).flatten()
        size = batch * (classes + 1)
        # Float64 sums, cast once: the order of millions of additions does not show.
        intersection = torch.zeros(size, dtype=torch.float64, device=bins.device)
        intersection = intersection.scatter_add_(0, bins, own.flatten().double())
        reference = torch.bincount(bins, minlength=size)
        kept = probabilities if valid is None else probabilities * valid[:, None]
        ctx.save_for_backward(index, *(() if valid is None else (valid,)))
        ctx.classes = classes
        dtype = probabilities.dtype
        ctx.mark_non_differentiable(reference := _columns(reference, batch).to(dtype))
        return _columns(intersection, batch).to(dtype), kept.sum(2), reference

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_intersection: Tensor, grad_sum: Tensor, _: Tensor) -> tuple[Tensor, None]:
        index, *rest = ctx.saved_tensors
        grad = grad_sum[:, :, None].expand(-1, -1, index.shape[1]).contiguous()
        grad.scatter_add_(1, index[:, None], grad_intersection.gather(1, index)[:, None])
        if rest:
            grad *= rest[0][:, None]
        return grad, None


def _columns(bins: Tensor, batch: int) -> Tensor:
    """Flat bins -> (B, K) without the ignored bin."""
    return bins.view(batch, -1)[:, :-1]


def _valid(target: Tensor) -> Tensor | None:
    """Mask of the voxels that count; None where all do and it costs nothing to know."""
    valid = target != IGNORED
    # On a GPU the question would stop the queue of work: multiply by the mask instead.
    return None if target.device.type == "cpu" and bool(valid.all()) else valid


def soft_dice_loss(probabilities: Tensor, target: Tensor, *, batch_dice: bool, smooth: float = 1e-5) -> Tensor:
    """Minus the mean soft Dice of the foreground classes, a scalar in [-1, 0].

    `probabilities` (B, K, *patch) float32 or float64 summing to 1 over K; `target` (B, *patch) int64 with values
    0..K-1 or IGNORED. A class absent from target and prediction counts as Dice 1, without gradient.
    """
    apply: Any = _Sums.apply  # torch leaves it untyped
    sums = apply(probabilities.flatten(2), target.flatten(1))
    return -dice_of(sums, batch_dice=batch_dice, smooth=smooth)[..., 1:].mean()


def dice_of(sums: Sequence[Tensor], *, batch_dice: bool, smooth: float) -> Tensor:
    """Soft Dice (B, K) of the `sums` I, S and G (B, K) above, or (K,) of the whole batch."""
    intersection, predicted, reference = (part.sum(0) if batch_dice else part for part in sums)
    return (2 * intersection + smooth) / (predicted + reference + smooth).clamp(min=1e-8)
