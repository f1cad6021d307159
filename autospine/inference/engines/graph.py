"""A network as OpenVINO's operations, layer by layer.

OpenVINO can convert a torch module itself, by tracing it: 1.5 CPU seconds for a planned 2D network, longer than the 20
slices of an image take, and with a report to its makers (`library`). The networks are made of a dozen kinds of layers,
each of which is one or two of its operations, and writing those down takes some hundredths. Whether the graph says what
the network says is checked with numbers before it is used (`choice`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from autospine.networks.blocks import EPS, SLOPE, ConvBlock, ConvNorm, InstanceNorm, ResidualBlock
from autospine.networks.msff import MSFF, Control
from autospine.networks.unet import DecoderStage, UNet

Node = Any
"""An output of one of OpenVINO's operations, which has no types of its own for them."""


class UnknownLayerError(Exception):
    """A layer that has no counterpart here."""


def graph_of(network: nn.Module, shape: Sequence[int]) -> Any:
    """The `openvino.Model` of a `network` in evaluation mode, for inputs of exactly this `shape` (N, C, *patch).

    It gives the logits of the finest stage alone. Raises `UnknownLayerError` where a layer is none of the planned ones.
    """
    from autospine.inference.engines.library import openvino

    ov = openvino()
    entering = ov.opset14.parameter(list(shape), np.float32)
    return ov.Model([_Drawing(ov.opset14).draw(network, entering)], [entering])


class _Drawing:
    """Draws layers one after the other with the operations of `ops`."""

    def __init__(self, ops: Any) -> None:
        self._ops = ops
        self._kinds: dict[type[nn.Module], Callable[[Any, Node], Node]] = {
            UNet: self._unet,
            nn.Identity: lambda layer, x: x,
            nn.Sequential: self._sequential,
            nn.Conv2d: self._convolution,
            nn.Conv3d: self._convolution,
            nn.ConvTranspose2d: self._transposed,
            nn.ConvTranspose3d: self._transposed,
            nn.AvgPool2d: self._average,
            nn.AvgPool3d: self._average,
            InstanceNorm: self._instance_norm,
            nn.GroupNorm: self._group_norm,
            ConvNorm: self._conv_norm,
            ConvBlock: lambda layer, x: self._leaky(self._conv_norm(layer, x)),
            ResidualBlock: self._residual,
            MSFF: self._msff,
            Control: lambda layer, x: self._fused(layer, self.draw(layer.conv, x), x),
        }

    def draw(self, layer: nn.Module, x: Node) -> Node:
        """What `layer` makes of `x`."""
        if type(layer) not in self._kinds:
            raise UnknownLayerError(type(layer).__name__)
        return self._kinds[type(layer)](layer, x)

    def _unet(self, network: Any, x: Node) -> Node:
        """As `UNet.forward`, in evaluation."""
        x = self.draw(network.stem, x)
        skips = []
        for stage in network.encoder:
            x = self.draw(stage, x)
            skips.append(x)
        x = self.draw(network.control, self.draw(network.msff, skips.pop()))
        for index in reversed(range(len(skips))):
            x = self._decoder(network.decoder[index], x, skips.pop())
        return self.draw(network.heads[0], x)

    def _decoder(self, stage: DecoderStage, x: Node, skip: Node) -> Node:
        return self.draw(stage.convs, self._ops.concat([self.draw(stage.up, x), skip], 1))

    def _sequential(self, layers: nn.Sequential, x: Node) -> Node:
        for layer in layers:
            x = self.draw(layer, x)
        return x

    def _convolution(self, layer: Any, x: Node) -> Node:
        padding, weight = list(layer.padding), self._constant(layer.weight)
        made = self._ops.convolution(x, weight, list(layer.stride), padding, padding, list(layer.dilation))
        return self._plus(made, layer.bias)

    def _transposed(self, layer: Any, x: Node) -> Node:
        made = self._ops.convolution_backprop_data(x, self._constant(layer.weight), list(layer.stride))
        return self._plus(made, layer.bias)

    def _average(self, layer: Any, x: Node) -> Node:
        size = [layer.kernel_size] if isinstance(layer.kernel_size, int) else list(layer.kernel_size)
        none = [0] * len(size)
        return self._ops.avg_pool(x, size, none, none, size, True)

    def _conv_norm(self, layer: Any, x: Node) -> Node:
        return self.draw(layer.norm, self.draw(layer.conv, x))

    def _instance_norm(self, layer: InstanceNorm, x: Node) -> Node:
        axes = list(range(2, self._rank(x)))
        return self._scaled(self._ops.mvn(x, axes, True, EPS, "inside_sqrt"), layer.weight, layer.bias)

    def _group_norm(self, layer: nn.GroupNorm, x: Node) -> Node:
        if layer.num_groups != 1:
            raise UnknownLayerError(f"GroupNorm of {layer.num_groups} groups")
        axes = list(range(1, self._rank(x)))
        return self._scaled(self._ops.mvn(x, axes, True, layer.eps, "inside_sqrt"), layer.weight, layer.bias)

    def _scaled(self, x: Node, weight: Tensor, bias: Tensor) -> Node:
        return self._plus(self._ops.multiply(x, self._by_channel(weight, x)), bias)

    def _residual(self, layer: ResidualBlock, x: Node) -> Node:
        made = self.draw(layer.second, self.draw(layer.first, x))
        return self._leaky(self._ops.add(made, self.draw(layer.project, self.draw(layer.pool, x))))

    def _msff(self, layer: MSFF, x: Node) -> Node:
        axes = np.arange(2, self._rank(x))
        mean = self._ops.reduce_mean(x, axes, keep_dims=True)
        pooled = self.draw(layer.pooled, mean)
        width = pooled.get_output_shape(0)[1]
        spread = self._ops.broadcast(
            pooled, [1, width, *list(x.get_output_shape(0))[2:]], broadcast_spec="BIDIRECTIONAL"
        )
        branches = [self.draw(layer.point, x), *(self.draw(branch, x) for branch in layer.dilated), spread]
        return self._fused(layer, self._ops.concat(branches, 1), x)

    def _fused(self, layer: Any, seen: Node, x: Node) -> Node:
        return self._ops.add(x, self.draw(layer.norm, self.draw(layer.fuse, seen)))

    def _leaky(self, x: Node) -> Node:
        return self._ops.prelu(x, self._ops.constant(np.array([SLOPE], np.float32)))

    def _plus(self, x: Node, bias: Tensor | None) -> Node:
        return x if bias is None else self._ops.add(x, self._by_channel(bias, x))

    def _by_channel(self, values: Tensor, x: Node) -> Node:
        """A number for each channel of `x`."""
        return self._constant(values.view(1, -1, *(1 for _ in range(self._rank(x) - 2))))

    def _constant(self, values: Tensor) -> Node:
        return self._ops.constant(values.detach().float().cpu().contiguous().numpy())

    @staticmethod
    def _rank(x: Node) -> int:
        return len(x.get_output_shape(0))
