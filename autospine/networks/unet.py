"""The U-Net: an encoder that halves, a decoder that doubles, a segmentation head at every decoder scale.

    stage 0   encoder.0 ------------ skip ------------ decoder.0 -- heads.0   finest, patch size
    stage 1       encoder.1 -------- skip -------- decoder.1 ------ heads.1
    stage 2           encoder.2 -- (msff) -- up ------^                       bottleneck (or its control)

An encoder stage is a stack of convolutions (plain), or of residual blocks after a stem at full size (residual).
Weights are named by stage (`encoder.0.1.conv.weight`, `decoder.0.up.weight`, `heads.0.bias`; residual
`stem.conv.weight`, `encoder.0.1.first.conv.weight`); the names under `msff.` are the only ones that the MSFF
bottleneck adds, those under `control.` the only ones of its control.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autospine.errors import PlanError
from autospine.networks.blocks import (
    ConvBlock,
    ResidualBlock,
    convolution,
    initialise,
    stack,
    start_as_identity,
    upsampling,
)
from autospine.networks.msff import MSFF, Control
from autospine.planning.document.parts import NetworkPlan
from autospine.planning.estimate.cost import stage_sizes


class DecoderStage(nn.Module):
    """Upsample the features from below, set the skip beside them, convolve."""

    def __init__(self, below: int, features: int, stride: tuple[int, ...], kernel: tuple[int, ...], count: int) -> None:
        """`below` and `features` are channels of the coarser and of this stage; `count` convolutions follow."""
        super().__init__()
        self.up = upsampling(below, features, stride)
        self.convs = stack(ConvBlock, 2 * features, features, kernel, count)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """(B, below, ...), (B, features, ... x stride) -> (B, features, ... x stride)."""
        y: Tensor = self.convs(torch.cat((self.up(x), skip), dim=1))
        return y


class UNet(nn.Module):
    """(B, in_channels, *patch) -> logits, finest first; one output per decoder stage in training, else the finest."""

    def __init__(self, plan: NetworkPlan, patch: tuple[int, ...]) -> None:
        """The planned network for `patch` voxels per planned axis; `PlanError` where that does not fit the strides.

        The weights depend on torch's seed alone. MSFF, or its control, is built last and gives the random stream back
        as it found it, so that all arms of an ablation start from the same weights and see the same samples.
        """
        super().__init__()
        features, kernels, strides = plan.features, plan.kernels, plan.strides
        self.divisor = tuple(math.prod(steps) for steps in zip(*strides, strict=True))
        _check(plan, patch, self.divisor)
        shapes = stage_sizes(patch, strides)
        norms = [math.prod(shape) > 1 for shape in shapes]
        residual = plan.encoder == "residual"
        inputs = (features[0] if residual else plan.in_channels, *features[:-1])
        block = ResidualBlock if residual else ConvBlock
        coarse = range(len(features) - 1)
        self.stem: nn.Module = nn.Identity()
        if residual:
            self.stem = ConvBlock(plan.in_channels, features[0], kernels[0], norm=math.prod(patch) > 1)
        self.encoder = nn.ModuleList(
            stack(block, inputs[i], features[i], kernels[i], plan.blocks[i], stride=strides[i], norm=norms[i])
            for i in range(len(features))
        )
        self.decoder = nn.ModuleList(
            DecoderStage(features[i + 1], features[i], strides[i + 1], kernels[i], plan.convs_decoder) for i in coarse
        )
        # A network of one stage has no decoder: its head stands on the only features there are.
        self.heads = nn.ModuleList(
            convolution(features[i], plan.out_channels, (1,) * len(patch)) for i in (coarse or range(1))
        )
        initialise(self)
        start_as_identity(self)
        self.msff: nn.Module = nn.Identity()
        self.control: nn.Module = nn.Identity()
        with torch.random.fork_rng(devices=[]):
            match plan.bottleneck:
                case "msff":
                    self.msff = MSFF(features[-1], shapes[-1], kernels[-1])
                case "control":
                    self.control = Control(features[-1], shapes[-1], kernels[-1])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, out_channels, *patch) first, then each coarser decoder stage (training mode only).

        Raises ValueError where a size of `x` cannot be halved as often as the network does.
        """
        if any(size % step for size, step in zip(x.shape[2:], self.divisor, strict=True)):
            raise ValueError(f"patch {tuple(x.shape[2:])} must be a multiple of {self.divisor} on each axis")
        skips: list[Tensor] = []
        x = self.stem(x)
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = self.control(self.msff(skips.pop()))
        if not skips:
            return (self.heads[0](x),)
        outputs: list[Tensor] = []
        for index in reversed(range(len(skips))):
            x = self.decoder[index](x, skips.pop())
            if self.training or index == 0:
                outputs.append(self.heads[index](x))
        return tuple(reversed(outputs))


def _check(plan: NetworkPlan, patch: tuple[int, ...], divisor: tuple[int, ...]) -> None:
    """Refuse a patch that would otherwise fail deep inside torch; the plan has checked its own numbers."""
    if len(patch) != plan.dimension:
        raise PlanError("plan: patch", f"{patch}", f"{plan.dimension} numbers, one per axis")
    if any(size < 1 or size % step for size, step in zip(patch, divisor, strict=True)):
        found = f"{patch} cannot be divided by the strides' product {divisor}"
        raise PlanError(
            "plan: patch", found, "a multiple of it on each axis", "change the patch, or make the plan anew."
        )
