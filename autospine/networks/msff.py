"""Multi-scale feature fusion at the bottleneck: several looks at the same features, fused and added.

After the idea of Zhang et al. 2023 (doi 10.1145/3587716.3587777); the module itself is our own definition
and no replication of theirs. On a bottleneck of shape S with C channels, C_b = max(8, C // 4):

    x --+-- 1x1 ------------------------ C_b --+
        +-- dilated conv, one per rate - C_b --+-- concat -- 1x1 -- norm (scale 0) -- + -- out
        +-- mean -- 1x1 -- expand ------ C_b --+                                      |
        +-----------------------------------------------------------------------------+

The last norm starts with scale 0, so that a fresh module is the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from autospine.networks.blocks import EPS, ConvBlock, convolution, initialise, silence
from autospine.planning.document.msff import branch_channels, branch_kernel, branch_rates, control_channels


class _Fusion(nn.Module):
    """x + fuse(look at x), (B, C, *shape) -> the same shape; the identity until it has been trained.

    The norm of the fusion is taken over all channels of a sample together (a group norm of one group): an
    instance norm would subtract each channel's mean over space, which is all that MSFF's global branch adds,
    and so remove that branch from the network altogether.
    """

    def _finish(self, inside: int, channels: int, dimension: int, *, norm: bool) -> None:
        """Add the 1x1 convolution from `inside` channels and its norm, whose shift is the bias; initialise all."""
        self.fuse = convolution(inside, channels, (1,) * dimension, bias=not norm)
        self.norm = nn.GroupNorm(1, channels, eps=EPS) if norm else nn.Identity()
        initialise(self)
        silence(self.fuse, self.norm)

    def look(self, x: Tensor) -> Tensor:
        """(B, C, *shape) -> (B, inside, *shape)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *shape) -> (B, C, *shape)."""
        fused: Tensor = self.norm(self.fuse(self.look(x)))
        return x + fused


class MSFF(_Fusion):
    """Looks by several branches."""

    def __init__(self, channels: int, shape: tuple[int, ...], kernel: tuple[int, ...]) -> None:
        """For a bottleneck of `shape` whose convolutions have `kernel`, both per axis."""
        super().__init__()
        ones, width, norm = (1,) * len(shape), branch_channels(channels), math.prod(shape) > 1
        rates = branch_rates(shape, kernel)
        self.point = ConvBlock(channels, width, ones, norm=norm)
        self.dilated = nn.ModuleList(
            ConvBlock(channels, width, branch_kernel(shape, kernel), dilation=rate, norm=norm) for rate in rates
        )
        self.pooled = ConvBlock(channels, width, ones, norm=False)
        self._finish((2 + len(rates)) * width, channels, len(shape), norm=norm)

    def look(self, x: Tensor) -> Tensor:
        """All branches beside each other."""
        mean = x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
        pooled = self.pooled(mean).expand(-1, -1, *x.shape[2:])
        return torch.cat([self.point(x), *(branch(x) for branch in self.dilated), pooled], dim=1)


class Control(_Fusion):
    """Looks by one convolution, in the place of MSFF in an ablation: as many weights, one scale.

    What a network gains by MSFF and not by this one, it gains by the scales and not by more weights.
    """

    def __init__(self, channels: int, shape: tuple[int, ...], kernel: tuple[int, ...]) -> None:
        """As `MSFF`."""
        super().__init__()
        norm, width = math.prod(shape) > 1, control_channels(channels, shape, kernel)
        self.conv = ConvBlock(channels, width, branch_kernel(shape, kernel), norm=norm)
        self._finish(width, channels, len(shape), norm=norm)

    def look(self, x: Tensor) -> Tensor:
        """At one scale."""
        seen: Tensor = self.conv(x)
        return seen
