"""What every stage of the network is made of: convolution, instance norm, leaky ReLU, plain or beside a skip.

The numbers are those of nnU-Net's plain U-Net: "same" padding, a bias in every convolution, instance norm
with eps 1e-5 and a learned scale and shift, leaky ReLU with slope 0.01, He initialisation for that slope.
Tensors are (B, C, Y, X) in 2D and (B, C, Z, Y, X) in 3D; tuples per axis leave out B and C.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name every torch user knows)

SLOPE = 0.01
"""Slope of the leaky ReLU below zero; the initialisation must know it."""
EPS = 1e-5
"""Added to the variance by every norm."""

_CONVOLUTIONS: Mapping[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: Mapping[int, Callable[..., nn.Module]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_AVERAGES: Mapping[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, ...],
    *,
    stride: tuple[int, ...] | None = None,
    dilation: tuple[int, ...] | None = None,
    bias: bool = True,
) -> nn.Module:
    """A 2D or 3D convolution, by the length of `kernel`, padded so that only `stride` changes the size.

    `kernel` holds odd numbers: size n becomes ceil(n / stride) on each axis.
    """
    ones = (1,) * len(kernel)
    rates = dilation or ones
    padding = tuple(rate * (size - 1) // 2 for rate, size in zip(rates, kernel, strict=True))
    kind = _CONVOLUTIONS[len(kernel)]
    return kind(in_channels, out_channels, kernel, stride or ones, padding, rates, bias=bias)


def upsampling(in_channels: int, out_channels: int, stride: tuple[int, ...]) -> nn.Module:
    """A transposed convolution whose kernel is its stride: each voxel becomes one block, none overlap."""
    return _TRANSPOSED[len(stride)](in_channels, out_channels, stride, stride=stride)


class InstanceNorm(nn.Module):
    """Instance norm with a learned scale and shift per channel, the same in training and in evaluation.

    On a CPU it is computed as a group norm with one channel a group: the same numbers up to rounding, and
    1.7 to 2.4 times as fast forward and backward in float32, 1.1 to 1.5 times in bfloat16 (2 cores, torch 2.13).
    Other devices keep torch's instance norm: on CUDA, autocast would turn a group norm to float32.
    """

    def __init__(self, channels: int) -> None:
        """Scale 1 and shift 0 for each of `channels`."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """`x` (B, C, ...) with mean 0 and variance 1 per sample and channel, then scaled and shifted."""
        if math.prod(x.shape[2:]) == 1:
            # it would return the shift alone, and lose the image without a word
            raise ValueError(f"instance norm needs more than one voxel per channel, found {tuple(x.shape)}")
        if x.device.type == "cpu":
            return F.group_norm(x, self.weight.numel(), self.weight, self.bias, EPS)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=EPS)


class ConvNorm(nn.Module):
    """Convolution, instance norm; `norm=False` leaves the norm out, for stages of a single voxel."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...] | None = None,
        dilation: tuple[int, ...] | None = None,
        bias: bool = True,
        norm: bool = True,
    ) -> None:
        """Arguments as those of `convolution`."""
        super().__init__()
        self.conv = convolution(in_channels, out_channels, kernel, stride=stride, dilation=dilation, bias=bias)
        self.norm = InstanceNorm(out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, ...) -> (B, out_channels, ... / stride)."""
        y: Tensor = self.norm(self.conv(x))
        return y


class ConvBlock(ConvNorm):
    """Convolution, instance norm, leaky ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, ...) -> (B, out_channels, ... / stride)."""
        # In place: the norm keeps its input for the backward pass, never its output.
        return F.leaky_relu(super().forward(x), SLOPE, inplace=True)


def stack(
    block: Callable[..., nn.Module],
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, ...],
    count: int,
    *,
    stride: tuple[int, ...] | None = None,
    norm: bool = True,
) -> nn.Sequential:
    """`count` blocks of a kind one after another; only the first has the stride and sees `in_channels`."""
    first = block(in_channels, out_channels, kernel, stride=stride, norm=norm)
    rest = (block(out_channels, out_channels, kernel, norm=norm) for _ in range(count - 1))
    return nn.Sequential(first, *rest)


def initialise(module: nn.Module) -> None:
    """He-normal weights for the leaky ReLU and zero biases in every convolution of `module`, in its order."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            if layer.weight.is_meta:  # shapes alone: nothing to draw, and torch would load its compiler for it
                continue
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def silence(layer: nn.Module, norm: nn.Module) -> None:
    """Set the `norm`, or the `layer` where there is none, to 0: the sum that follows adds nothing until trained."""
    for parameter in (layer if isinstance(norm, nn.Identity) else norm).parameters():
        nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    """Two convolutions beside a skip; `norm=False` leaves every norm out, for stages of a single voxel.

        x --+-- conv (stride) -- norm -- lrelu -- conv -- norm (scale 0) -- + -- lrelu -- out
            +-- mean over the stride -- 1x1 conv -- norm ------------------ +

    The skip is averaged only where there is a stride and projected only where the width changes (ResNet-D, He et al.
    2019, arXiv 1812.01187, section 4.2; nnU-Net's residual encoders, Isensee et al. 2024, arXiv 2404.09556). The last
    norm starts with scale 0 and shift 0: a fresh block passes its skip on, and depth costs nothing at the start.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...] | None = None,
        norm: bool = True,
    ) -> None:
        """Arguments as those of `convolution`; the input's sizes must be multiples of `stride`."""
        super().__init__()
        ones = (1,) * len(kernel)
        steps = stride or ones
        self.first = ConvBlock(in_channels, out_channels, kernel, stride=steps, norm=norm)
        self.second = ConvNorm(out_channels, out_channels, kernel, norm=norm)
        self.pool = _AVERAGES[len(kernel)](steps) if steps != ones else nn.Identity()
        self.project: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.project = ConvNorm(in_channels, out_channels, ones, bias=False, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, ...) -> (B, out_channels, ... / stride)."""
        y: Tensor = self.second(self.first(x))
        # In place: neither a norm nor a convolution keeps its output for the backward pass.
        y += self.project(self.pool(x))
        return F.leaky_relu(y, SLOPE, inplace=True)


def start_as_identity(module: nn.Module) -> None:
    """Let every residual block in `module` pass its skip on and nothing else."""
    for block in module.modules():
        if isinstance(block, ResidualBlock):
            silence(block.second.conv, block.second.norm)
