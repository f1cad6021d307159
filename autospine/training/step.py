"""One training step: forward, loss, backward, clip, update. What is trained and what is timed is the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autospine.networks.device import autocast

WARM_UP_STEPS = 2
"""The first steps allocate memory and optimiser states, start workers and choose algorithms: no measure of the rest."""


def training_step(
    network: nn.Module,
    loss_of: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    image: Tensor,
    target: Tensor,
    clip_norm: float,
) -> Tensor:
    """The loss, a scalar without gradient, of `image` (B, C, *patch) and `target` (B, *patch) after an update.

    The learning rate is the optimiser's; gradients are clipped at the norm `clip_norm`. `scaler` does nothing unless
    half precision needs it.
    """
    optimiser.zero_grad(set_to_none=True)
    with autocast(image.device):
        outputs = network(image)
    loss: Tensor = loss_of(outputs, target)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    scaler.unscale_(optimiser)
    nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
    scaler.step(optimiser)
    scaler.update()
    return loss.detach()
