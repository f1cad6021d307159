"""Blank tiles are computed once, and nothing changes by it, to the bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from autospine.inference.engines.blank import BlankOnce
from autospine.inference.engines.compiled import Compiled
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration


class Alone:
    """A network that computes each tile by itself, and counts them."""

    def __init__(self, network: UNet) -> None:
        self.network, self.tiles = network, 0

    def __call__(self, tiles: Tensor) -> tuple[Tensor, ...]:
        self.tiles += len(tiles)
        return (torch.cat([self.network(tile[None])[0] for tile in tiles]),)


@pytest.fixture(params=[(1.0, 1.0), (2.0, 1.0, 1.0)])
def configuration(request: pytest.FixtureRequest, make_configuration: Callable[..., Configuration]) -> Configuration:
    return make_configuration(spacing_mm=request.param)


def mixed(configuration: Configuration) -> Tensor:
    """Tiles 1, 2 and 4 are blank, the last with another number."""
    tiles = torch.randn(6, 1, *configuration.patch)
    tiles[1] = tiles[2] = 0
    tiles[4] = -0.25
    return tiles


@torch.inference_mode()
def test_blank_tiles_are_computed_once_and_equal_to_the_bit(configuration: Configuration) -> None:
    network = UNet(configuration.network, configuration.patch).eval()
    tiles, every, once = mixed(configuration), Alone(network), Alone(network)
    reusing = BlankOnce(once)
    for group in (tiles, tiles.flip(-1), tiles[1:3]):
        assert torch.equal(reusing(group)[0], every(group)[0])
    assert (every.tiles, once.tiles) == (14, 3 + 2 + 3 + 2 + 1)


@torch.inference_mode()
def test_of_a_compiled_network_too(configuration: Configuration) -> None:
    pytest.importorskip("openvino")
    network = UNet(configuration.network, configuration.patch).eval()
    compiled = Compiled(network, (1, *configuration.patch), "float32", threads=2, streams=2)
    tiles = mixed(configuration)
    assert torch.equal(BlankOnce(compiled)(tiles)[0], compiled(tiles)[0])


def test_what_is_kept_is_not_what_is_given() -> None:
    reusing = BlankOnce(lambda tiles: (tiles + 1,))
    tiles = torch.zeros(1, 1, 4, 4)
    reusing(tiles)[0].add_(5)
    assert torch.equal(reusing(tiles)[0], torch.ones(1, 1, 4, 4))


def test_a_tile_with_a_blank_channel_is_not_blank_and_numbers_that_are_none_never_are() -> None:
    asked: list[int] = []

    def network(tiles: Tensor) -> tuple[Tensor, ...]:
        asked.append(len(tiles))
        return (tiles[:, :1],)

    reusing = BlankOnce(network)
    half = torch.stack((torch.zeros(4, 4), torch.arange(16.0).view(4, 4)))[None]
    for _ in range(2):
        assert torch.equal(reusing(half)[0], half[:, :1])
    for _ in range(2):
        assert torch.isnan(reusing(torch.full((1, 2, 4, 4), torch.nan))[0]).all()
    assert asked == [1, 1, 1, 1]
