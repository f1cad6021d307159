"""A slice has the same scores to the bit, alone at the end of a case or among others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from autospine.inference.engines.pairs import never_alone
from autospine.inference.predictor import Predictor
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.resample_labels import Strip
from tests.cards import card_of
from tests.inference.predicting import case_of

Make = Callable[..., Configuration]


class Counting(nn.Module):
    """The scores of slices, and how many of them came at once."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.sizes = network, list[int]()

    def forward(self, tiles: Tensor) -> tuple[Tensor, ...]:
        self.sizes.append(len(tiles))
        said: tuple[Tensor, ...] = self.network(tiles)
        return said


@torch.inference_mode()
def test_a_tile_alone_says_what_it_says_among_others(make_configuration: Make) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    counting = Counting(UNet(flat.network, flat.patch).eval())
    tiles = torch.randn(3, 1, *flat.patch)
    together = never_alone(counting)(tiles)[0]
    for index in range(3):
        assert torch.equal(never_alone(counting)(tiles[index : index + 1])[0][0], together[index])
    assert counting.sizes == [3, 2, 2, 2]


@pytest.mark.parametrize(("slices", "sizes"), [(1, {1}), (5, {4, 2})])
def test_only_a_case_of_one_tile_is_computed_alone(make_configuration: Make, slices: int, sizes: set[int]) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    counting = Counting(UNet(flat.network, flat.patch).eval())
    model = Predictor(card_of(flat), (counting,), torch.device("cpu"), mirror=False, precision="float32")
    image = np.random.default_rng(0).normal(size=(1, slices, *flat.patch)).astype(np.float32)
    model.labels(case_of(image))
    assert set(counting.sizes) == sizes


def test_strips_give_the_scores_of_the_whole_to_the_bit(make_configuration: Make) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    network = UNet(flat.network, flat.patch).eval()
    model = Predictor(card_of(flat), (network,), torch.device("cpu"), mirror=False, precision="float32")
    image = np.random.default_rng(0).normal(size=(1, 3, 2 * flat.patch[0] + 3, flat.patch[1])).astype(np.float32)
    found = []
    for strips in (1, 2, 3):
        scores = model._scores(case_of(image), None, lambda done, total: None)
        held = np.zeros((4, *image.shape[1:]), np.float32)
        for strip, first, values in scores.slabs(Strip.of(image.shape[2], strips)):
            held[:, first : first + values.shape[1], strip.columns] = values
        found.append(held)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
