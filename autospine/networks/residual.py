"""The residual encoder's block: two convolutions beside a skip, in nnU-Net's numbers.

    x --+-- conv (stride) -- norm -- lrelu -- conv -- norm (scale 0) -- + -- lrelu -- out
        +-- mean over the stride -- 1x1 conv -- norm ------------------ +

The skip is averaged only where there is a stride and projected only where the width changes (ResNet-D, He et al. 2019,
arXiv 1812.01187, section 4.2; nnU-Net's residual encoders, Isensee et al. 2024, arXiv 2404.09556). The last norm starts
with scale 0 and shift 0, so that a fresh block passes its skip on and depth costs nothing at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from autospine.networks.blocks import SLOPE, ConvBlock, ConvNorm, silence

_AVERAGES: Mapping[int, Callable[..., nn.Module]] = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


class ResidualBlock(nn.Module):
    """Two convolutions and a skip; `norm=False` leaves every norm out, for stages of a single voxel."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, ...],
        *,
        stride: tuple[int, ...] | None = None,
        norm: bool = True,
    ) -> None:
        """Arguments as those of `blocks.convolution`; the input's sizes must be multiples of `stride`."""
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
