"""The graph that OpenVINO compiles says what the torch network says, whatever layers it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autospine.inference.engines.compiled import Compiled
from autospine.inference.engines.graph import UnknownLayerError, graph_of
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration

pytest.importorskip("openvino")
Make = Callable[..., Configuration]


def network_of(configuration: Configuration) -> UNet:
    """With weights as a training leaves them: no norm of scale 0, no bias of 0."""
    torch.manual_seed(0)
    network = UNet(configuration.network, configuration.patch).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            parameter.copy_(torch.randn_like(parameter) * 0.2 + (1.0 if name.endswith("weight") else 0.0))
    return network


def assert_says_the_same(network: UNet, configuration: Configuration, count: int = 3) -> None:
    shape = (configuration.network.in_channels, *configuration.patch)
    tiles = torch.randn(count, *shape)
    with torch.inference_mode():
        expected = network(tiles)[0]
        found = Compiled(network, shape, "float32", threads=2, streams=2)(tiles)[0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (2.0, 1.0, 1.0)])
@pytest.mark.parametrize("encoder", ["plain", "residual"])
@pytest.mark.parametrize("bottleneck", ["plain", "msff", "control"])
def test_every_planned_network_says_what_torch_says(
    make_configuration: Make, spacing_mm: tuple[float, ...], encoder: str, bottleneck: str
) -> None:
    configuration = make_configuration(spacing_mm=spacing_mm)
    network = replace(configuration.network, encoder=encoder, bottleneck=bottleneck)
    configuration = replace(configuration, network=network)
    assert_says_the_same(network_of(configuration), configuration)


def test_a_stage_of_one_voxel_has_no_norm_in_the_graph_either(make_configuration: Make) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    divisor = UNet(flat.network, flat.patch).divisor
    configuration = replace(flat, patch=divisor)
    assert_says_the_same(network_of(configuration), configuration)


def test_a_layer_without_a_counterpart_is_named() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with pytest.raises(UnknownLayerError, match="Odd"):
        graph_of(nn.Sequential(nn.Identity(), Odd()), (1, 1, 8, 8))
    with pytest.raises(UnknownLayerError, match="GroupNorm of 2"):
        graph_of(nn.GroupNorm(2, 4), (1, 4, 8, 8))
