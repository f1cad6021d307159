"""Batches are what they were: the same random numbers, drawn in the same order, whatever the configuration.

What is recorded of each kind are means over four batches of its arrays (image, target, sizes), plain and under a ramp
along the flattened array, which what is moved or mirrored does not keep. A change of these numbers changes every
training: where it is meant, they are recorded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from autospine.data.structure import IGNORED
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.locations import measure_components
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.store import StoredCase
from autospine.training.batches import PatchBatches
from autospine.training.pretrain import MaskedBatches
from tests.cards import card_of
from tests.training.conftest import CASES
from tests.training.kinds import cascaded, sized_card

RECORDED = {
    "3d": (0.434593, -0.024829, 0.429993, -0.039583),
    "3d, masked": (0.139070, 0.012174, 0.358878, -0.019774),
    "3d_shift_jitter": (0.346635, -0.034404, 0.066101, -0.040429),
    "3d_inplane": (0.406078, -0.046196, 0.302979, -0.039416),
    "3d_large": (0.126001, 0.002347, -0.448039, 0.008129),
    "3d_large, validated": (0.130369, 0.000902, -0.375922, 0.000669),
    "3d_one": (0.452334, 0.007357, 0.440552, 0.015181),
    "2d": (0.455059, 0.019095, 0.339355, 0.037271),
    "2d_jitter": (0.391311, 0.025407, 0.219727, 0.046558),
    "2d_jitter, validated": (0.338014, 0.031571, 0.320801, 0.037257),
    "2.5d": (0.342371, 0.016729, 0.339355, 0.041867),
    "2.5d, masked": (0.134317, 0.018652, 0.340899, 0.029742),
    "3d_sides": (0.434593, -0.024829, 0.606018, -0.019733),
    "2d_sides": (0.455059, 0.019095, 0.448730, 0.017552),
    "3d_cascade": (0.170050, -0.045775, 0.429993, -0.039583),
    "3d_cascade_sides": (0.171652, -0.042437, 0.606018, -0.019733),
    "3d_presence": (0.332467, 0.001618, 0.422546, -0.072289),
    "3d_presence, masked": (0.122396, 0.017833, 0.231666, -0.052042),
    "2.5d_presence_sides": (0.301459, 0.075120, 0.413086, 0.063299),
    "3d_cascade_presence_sides": (0.351362, -0.038607, 0.486877, -0.046876),
    "3d_sized": (0.434593, -0.024829, 0.429993, -0.039583, 110.958618, -6.787197),
    "3d_shift_jitter_sized": (0.341494, -0.036204, 0.053101, -0.046058, 84.095154, -6.750289),
    "2d_sized": (0.455059, 0.019095, 0.339355, 0.037271, 108.732422, 10.583476),
    "2.5d_sized": (0.342371, 0.016729, 0.339355, 0.041867, 108.732422, 14.671233),
    "3d_sides_sized": (0.434593, -0.024829, 0.606018, -0.019733, 110.958618, -6.787197),
    "2d_sides_sized": (0.455059, 0.019095, 0.448730, 0.017552, 108.732422, 10.583476),
    "3d_cascade_sides_sized": (0.171652, -0.042437, 0.606018, -0.019733, 110.958618, -6.787197),
    "3d_cascade_presence_sides_sized": (0.351362, -0.038607, 0.486877, -0.046876, 108.539368, -13.774499),
    "3d_cascade_presence_sides_sized, validated": (0.331791, -0.071457, 0.446777, -0.049565, 108.143127, -12.024461),
    "2.5d_presence_sides_sized": (0.272453, 0.060530, 0.343262, -0.020222, 77.630371, -2.027389),
    "2.5d_presence_sides_sized, validated": (0.474578, 0.048139, 0.320801, 0.035641, 78.704102, 4.150075),
}


def case(name: str, number: int, channels: int, missing: tuple[int, ...]) -> StoredCase:
    """Blocks of three classes in noise, of another shape for each number."""
    rng = np.random.default_rng(number)
    shape = (12, 20 + 3 * number, 18 - number)
    label = np.zeros(shape, np.uint8)
    label[3:9, 2:9, 3 + number : 12] = 1
    label[3:9, 11:18, 5 : 14 + number] = 2
    label[1, 1, 1] = 2
    label[10, 15:17, 2:4] = 3
    image = (rng.normal(0, 0.3, (channels, *shape)) + label).astype(np.float32)
    image[list(missing)] = 0
    found = measure_components(label, (1, 2, 3), slices_apart=False, seed=0)
    box = ((0, shape[0]), (0, shape[1]), (0, shape[2]))
    properties = CaseProperties(name, shape, (1.0, 1.0, 1.0), box, (0, 1, 2), (1.0, 1.0, 1.0), missing)
    return StoredCase(name, image, label, label, properties, found.locations, found.sizes, found.offsets)


class Source:
    """Three cases, of which the second lacks some channels."""

    def __init__(self, channels: int, missing: tuple[int, ...]) -> None:
        self.cases = {
            name: case(name, number, channels, missing if number == 1 else ()) for number, name in enumerate(CASES)
        }

    def open(self, name: str) -> StoredCase:
        return self.cases[name]


class Previous:
    """Their labels, a voxel to the side."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def open(self, name: str, shape: Sequence[int]) -> np.ndarray:
        return np.roll(self.source.cases[name].label, 1, -1)


def entering(configuration: Configuration, count: int, channels: int, **changes: object) -> Configuration:
    """With so many image channels, of which `count` channels in all are made."""
    network = replace(configuration.network, in_channels=count)
    return replace(configuration, network=network, normalisation=("zscore",) * channels, **changes)  # type: ignore[arg-type]


def trained(configuration: Configuration, **training: object) -> Configuration:
    return replace(configuration, training=replace(configuration.training, **training))  # type: ignore[arg-type]


@pytest.fixture
def cards(quick: Configuration, make_configuration: Callable[..., Configuration]) -> dict[str, ModelCard]:
    """By what is special about them."""
    volume = trained(quick, epochs=10, steps_per_epoch=10, validation_steps=2)
    flat, cascade, sides = make_configuration(spacing_mm=(1.0, 1.0)), cascaded(volume), ((1, 3),)
    near = entering(flat, 8, 2, name="2.5d", neighbours=1)
    found = {
        "3d": card_of(volume),
        "3d_shift_jitter": card_of(trained(volume, shift=0.4, foreground_jitter=0.7, oversample_foreground=0.5)),
        "3d_inplane": card_of(trained(volume, rotate_in_plane=True, mirror_axes=(0, 2))),
        "3d_large": card_of(replace(trained(volume, shift=0.25), patch=(16, 24, 24))),
        "3d_one": card_of(replace(volume, batch=1)),
        "2d": card_of(flat),
        "2d_jitter": card_of(trained(flat, foreground_jitter=1.0, shift=0.3, oversample_foreground=0.6)),
        "2.5d": card_of(entering(flat, 10, 2, name="2.5d", neighbours=2)),
        "3d_sides": card_of(volume, sides=sides),
        "2d_sides": card_of(flat, sides=sides),
        "3d_cascade": card_of(cascade),
        "3d_cascade_sides": card_of(cascade, sides=sides),
        "3d_presence": card_of(entering(volume, 3, 2), presence=PresencePlan((1,), 0.5)),
        "2.5d_presence_sides": card_of(near, presence=PresencePlan((0, 1), 0.5), sides=sides),
        "3d_cascade_presence_sides": card_of(entering(cascade, 6, 2), presence=PresencePlan((1,), 0.3), sides=sides),
    }
    return found | {f"{name}_sized": by_component(card) for name, card in found.items()}


def by_component(card: ModelCard) -> ModelCard:
    """With a loss and forced samples that go by components."""
    sized = sized_card(card)
    return sized.with_configuration(trained(sized.configuration, foreground_unit="component"))


def told(batch: Sequence[np.ndarray]) -> list[float]:
    """Mean and mean under a ramp of each array of a batch."""
    found = []
    for part in batch:
        values = np.where(part == IGNORED, -1, part) if part.dtype == np.int64 else np.nan_to_num(part)
        ramp = np.linspace(-1, 1, values.size).reshape(values.shape)
        found += [float(values.mean(dtype=np.float64)), float((values * ramp).mean())]
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_batches_are_what_they_were(name: str, cards: dict[str, ModelCard]) -> None:
    kind, _, how = name.partition(", ")
    card = cards[kind]
    source = Source(len(card.data.channels), (1,) if card.data.presence else ())
    batches: PatchBatches | MaskedBatches
    if how == "masked":
        spacing = (1.0, 4.0, 4.0)[: len(card.configuration.patch)]
        batches = MaskedBatches(
            source, CASES, card.with_configuration(replace(card.configuration, spacing_mm=spacing)), 5
        )
    else:
        previous = Previous(source) if card.configuration.previous else None
        batches = PatchBatches(source, CASES, card, augment=not how, seed=7, previous=previous)
    found = np.mean([told(batches[step]) for step in range(4)], axis=0)
    np.testing.assert_allclose(found, RECORDED[name], rtol=1e-4, atol=1e-5)
