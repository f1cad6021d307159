"""A compiled network: of one kind of tiles, for several threads at once, and with one answer whatever goes together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from autospine.inference.engines.compiled import Compiled
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration

pytest.importorskip("openvino")


@pytest.fixture
def compiled(make_configuration: Callable[..., Configuration]) -> Compiled:
    configuration = make_configuration(spacing_mm=(1.0, 1.0))
    network = UNet(configuration.network, configuration.patch).eval()
    return Compiled(network, (1, *configuration.patch), "float32", threads=2, streams=2)


def test_a_tile_has_the_same_answer_to_the_bit_alone_and_beside_others(compiled: Compiled) -> None:
    tiles = torch.randn(5, *compiled.shape)
    together = compiled(tiles)[0]
    for index in range(5):
        assert torch.equal(compiled(tiles[index : index + 1])[0][0], together[index])


def test_threads_that_call_it_at_once_get_their_own_answers(compiled: Compiled) -> None:
    tiles = [torch.randn(2, *compiled.shape) for _ in range(12)]
    expected = [compiled(some)[0] for some in tiles]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda some: compiled(some)[0], tiles))
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_tiles_that_do_not_lie_in_order_are_read_as_they_are(compiled: Compiled) -> None:
    tiles = torch.randn(2, *compiled.shape).flip(-1).transpose(-1, -2)
    assert torch.equal(compiled(tiles)[0], compiled(tiles.contiguous().clone())[0])


def test_tiles_of_another_shape_are_refused(compiled: Compiled) -> None:
    with pytest.raises(ValueError, match="compiled for tiles of"):
        compiled(torch.zeros(1, compiled.shape[0], 8, 8))


def test_memory_that_is_spared_is_given_back_after_each_call(make_configuration: Callable[..., Configuration]) -> None:
    configuration = make_configuration(spacing_mm=(1.0, 1.0))
    network = UNet(configuration.network, configuration.patch).eval()
    shape = (1, *configuration.patch)
    spare = Compiled(network, shape, "float32", threads=1, spare=True)
    kept = Compiled(network, shape, "float32", threads=1)
    given = list[int]()
    real = spare._give_back
    assert real is not None and kept._give_back is None
    spare._give_back = lambda: given.append(1) or real()
    tiles = torch.randn(2, *shape)
    for _ in range(2):
        assert torch.equal(spare(tiles)[0], kept(tiles)[0])
    assert given == [1, 1]


def test_threads_share_what_is_spared(make_configuration: Callable[..., Configuration]) -> None:
    """What one thread gives back while another computes in it stays."""
    configuration = make_configuration(spacing_mm=(1.0, 1.0))
    network = UNet(configuration.network, configuration.patch).eval()
    compiled = Compiled(network, (1, *configuration.patch), "float32", threads=2, streams=2, spare=True)
    tiles = [torch.randn(2, *compiled.shape) for _ in range(24)]
    expected = [compiled(some)[0] for some in tiles]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda some: compiled(some)[0], tiles))
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
