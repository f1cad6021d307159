"""From the plan's numbers to a network, in one expression."""

from __future__ import annotations

import math

from autospine.errors import PlanError
from autospine.networks.unet import UNet
from autospine.planning.document.parts import NetworkPlan


def build_network(plan: NetworkPlan, patch: tuple[int, ...]) -> UNet:
    """The planned U-Net for `patch` voxels per planned axis, freshly initialised from torch's seed.

    Raises PlanError where the patch does not fit the strides.
    """
    _check(plan, patch)
    return UNet(
        in_channels=plan.in_channels,
        out_channels=plan.out_channels,
        features=plan.features,
        kernels=plan.kernels,
        strides=plan.strides,
        blocks=plan.blocks,
        convs_decoder=plan.convs_decoder,
        patch=patch,
        encoder=plan.encoder,
        bottleneck=plan.bottleneck,
    )


def _check(plan: NetworkPlan, patch: tuple[int, ...]) -> None:
    """Refuse a patch that would otherwise fail deep inside torch; the plan has checked its own numbers."""
    if len(patch) != plan.dimension:
        raise PlanError("plan: patch", f"{patch}", f"{plan.dimension} numbers, one per axis")
    divisor = tuple(math.prod(steps) for steps in zip(*plan.strides, strict=True))
    if any(size < 1 or size % step for size, step in zip(patch, divisor, strict=True)):
        raise PlanError(
            "plan: patch",
            f"{patch} cannot be divided by the strides' product {divisor}",
            "a multiple of it on each axis",
            "change the patch, or make the plan anew.",
        )
