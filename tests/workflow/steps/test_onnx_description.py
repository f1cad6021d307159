"""What is told around ONNX networks is enough to segment without autospine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autospine.data.geometry import Volume
from autospine.data.structure import Region
from autospine.data.volume import write_volume
from autospine.errors import PlanError
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan, LevelsPlan, PresencePlan
from autospine.planning.document.model_card import ModelCard
from autospine.workflow.steps.onnx_description import describe_card, real_patches
from tests.cards import card_of
from tests.inference.predicting import predictor_of
from tests.workflow.around_onnx import FLIPS, image_of, same
from tests.workflow.by_hand import Network, segment

Make = Callable[..., Configuration]


def by_torch(network: nn.Module) -> Network:
    def said(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(batch))[0].numpy()

    return said


def networks_of(card: ModelCard, count: int = 1) -> list[nn.Module]:
    torch.manual_seed(0)
    one = card.configuration
    return [UNet(one.network, one.patch).eval() for _ in range(count)]


def few_turns(configuration: Configuration) -> Configuration:
    """Mirrored along its last axis alone: networks of volumes take their time."""
    return replace(configuration, training=replace(configuration.training, mirror_axes=(2,)))


def kinds(make: Make) -> dict[str, tuple[ModelCard, Volume]]:
    solid, flat = few_turns(make()), make(spacing_mm=(1.0, 1.0))
    two = replace(
        few_turns(make(normalisation=("zscore", "ct"))),
        network=replace(solid.network, in_channels=3, encoder="residual", bottleneck="msff"),
        axis_order=(2, 0, 1),
        spacing_mm=(1.5, 1.2, 0.8),
    )
    near = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3), spacing_mm=(0.9, 1.1))
    regions = replace(
        solid,
        network=replace(solid.network, out_channels=2),
        loss=replace(solid.loss, class_weights=(1.0, 1.0)),
        spacing_mm=(5.0, 1.0, 1.2),
    )
    whole = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    ct = IntensityPlan(95.0, 12.0, 80.0, 120.0)
    return {
        "2d": (card_of(flat, sides=((1, 3),)), image_of((4, 22, 21), (4.0, 1.0, 1.0))),
        "2.5d": (card_of(near), image_of((4, 22, 21), (4.0, 1.0, 1.0))),
        "3d, another grid, a channel that may be missing": (
            card_of(two, presence=PresencePlan((1,), 0.25), intensities=(ct, ct)),
            image_of((14, 14, 16), (1.0, 1.0, 1.0), 2),
        ),
        "3d, an axis apart, regions": (
            card_of(regions, labels=(("a", 1), ("b", 2)), regions=whole),
            image_of((9, 21, 20), (4.0, 0.9, 1.0)),
        ),
    }


@pytest.mark.parametrize(
    "kind", ["2d", "2.5d", "3d, another grid, a channel that may be missing", "3d, an axis apart, regions"]
)
def test_the_description_is_enough(make_configuration: Make, kind: str) -> None:
    """With torch's networks in the place of ONNX: what is told of pre- and postprocessing gives the same labels."""
    card, image = kinds(make_configuration)[kind]
    networks = networks_of(card, 2)
    table = json.loads(json.dumps(describe_card(card)))
    assert table["input"]["shape"][1] == len(table["input"]["channels"]) == card.configuration.network.in_channels
    assert table["output"]["shape"][1] == len(table["output"]["channels"])
    spacing_mm = image.geometry.spacing_mm
    for missing in [(), *[(one,) for one in card.data.optional]]:
        array = image.array.copy()
        array[list(missing)] = 0
        expected = (
            predictor_of(networks, card, precision="float32")
            .segment(replace(image, array=array), "case", missing=missing)
            .labels
        )
        found = segment([table], [list(map(by_torch, networks))], array, spacing_mm, FLIPS, missing)
        same(found, expected.array[0])


def test_the_description_of_a_cascade_is_enough(make_configuration: Make) -> None:
    base = few_turns(make_configuration())
    low = card_of(replace(base, name="3d_lowres"), sides=((1, 2),))
    high = low.with_configuration(
        replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4))
    )
    first, second = networks_of(low), networks_of(high)
    image = image_of((10, 16, 21), (1.0, 1.0, 1.0))
    previous = predictor_of(first, low, precision="float32")
    expected = predictor_of(second, high, precision="float32", previous=previous).segment(image, "case").labels
    tables = [json.loads(json.dumps(describe_card(card))) for card in (low, high)]
    by_hand = [[by_torch(network) for network in its] for its in (first, second)]
    same(segment(tables, by_hand, image.array, image.geometry.spacing_mm, FLIPS), expected.array[0])


def test_levels_are_told_with_all_their_numbers(make_configuration: Make) -> None:
    card = card_of(make_configuration(axis_order=(2, 0, 1)), levels=LevelsPlan((1, 2), 0, 1.1, (0.9, 0.8)))
    told = describe_card(card)["postprocessing"]["levels"]
    assert told["axis"] == 1 and told["classes"] == [1, 2] and told["longest"] == 1.5 and told["missed"] == 0.02


def test_real_patches_are_what_a_network_sees(make_configuration: Make, tmp_path: Path) -> None:
    """Of the middle of the image: the tile of a prediction whose case is as large as a patch."""
    for kind, (card, image) in kinds(make_configuration).items():
        seen: list[np.ndarray] = []

        class Recording(nn.Module):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, batch: torch.Tensor, seen: Any = seen) -> Any:
                seen += list(batch.numpy())
                return self.network(batch)

        path = tmp_path / f"{len(kind)}.nii.gz"
        write_volume(path, image)
        (patch,) = real_patches(path, card)
        assert patch.shape == (card.configuration.network.in_channels, *card.configuration.patch)
        if kind.startswith("2"):
            wide = card.with_configuration(replace(card.configuration, overlap=0.96))
            predictor_of([Recording(networks_of(card)[0])], wide, precision="float32", mirror=False).segment(image, "")
            assert any(np.allclose(patch, one, atol=1e-5) for one in seen)
    write_volume(tmp_path / "two.nii.gz", image_of((9, 9, 9), (1.0, 1.0, 1.0), 2))
    with pytest.raises(PlanError, match=r"2 channel\(s\)"):
        real_patches(tmp_path / "two.nii.gz", card_of(make_configuration()))
