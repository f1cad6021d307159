"""One training step: forward, loss, backward, clip, update. What is trained and what is timed is the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from autospine.losses.build import build_loss
from autospine.losses.regions import Membership
from autospine.machine.precision import Precision, autocast
from autospine.networks.precision import choose_precision
from autospine.networks.unet import UNet
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.parts import TrainingPlan
from autospine.training.schedule import build_optimiser

WARM_UP_STEPS = 2
"""The first steps allocate memory and optimiser states, start workers and choose algorithms: no measure of the rest."""


@dataclass(frozen=True)
class Stepper:
    """What a step changes and what it needs for that, on one device."""

    network: UNet
    loss_of: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Does nothing unless half precision needs it."""
    clip_norm: float
    precision: Precision
    """In which the network computes."""

    @classmethod
    def of(cls, card: ModelCard, device: torch.device, precision: Precision | None = None) -> Stepper:
        """As `card` plans it; the weights are torch's next random ones. Without `precision` in the faster."""
        configuration = card.configuration
        precision = precision or choose_precision(configuration, device, training=True).precision
        network = UNet(configuration.network, configuration.patch).to(device)
        loss_of = build_loss(configuration.loss, len(network.heads), Membership.of(card.data))
        return cls.around(network, loss_of, configuration.training, device, precision)

    @classmethod
    def around(
        cls, network: UNet, loss_of: nn.Module, training: TrainingPlan, device: torch.device, precision: Precision
    ) -> Stepper:
        """With a `network` that is on `device`, and a loss of its outputs and the targets of a batch."""
        optimiser = build_optimiser(network, training)
        scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        return cls(network, loss_of.to(device), optimiser, scaler, training.clip_norm, precision)

    def step(self, image: Tensor, *targets: Tensor) -> Tensor:
        """The loss, a scalar without gradient, of `image` (B, C, *patch) and what the loss takes, after an update.

        The learning rate is the optimiser's; gradients are clipped at the norm `clip_norm`.
        """
        self.optimiser.zero_grad(set_to_none=True)
        with autocast(image.device, self.precision):
            outputs = self.network(image)
        loss: Tensor = self.loss_of(outputs, *targets)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return loss.detach()

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        rate: float = self.optimiser.param_groups[0]["lr"]
        return rate

    def set_rate(self, rate: float) -> None:
        """Have the next steps made at this learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def state(self) -> dict[str, dict[str, Any]]:
        """What a checkpoint holds of it: the states of network, optimiser and scaler."""
        return {part: getattr(self, part).state_dict() for part in ("network", "optimiser", "scaler")}

    def load(self, network: dict[str, Any], optimiser: dict[str, Any], scaler: dict[str, Any]) -> None:
        """Go on with the states of another stepper like this one."""
        self.network.load_state_dict(network)
        self.optimiser.load_state_dict(optimiser)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(scaler)
