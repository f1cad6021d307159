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
    "3d": (0.440804, -0.048999, 0.429993, -0.062906),
    "3d, masked": (0.120852, -0.013936, 0.377838, 0.025867),
    "3d_shift_jitter": (0.344660, -0.004601, 0.066101, -0.030884),
    "3d_inplane": (0.396414, 0.001366, 0.302979, 0.001244),
    "3d_large": (0.127605, 0.005001, -0.448039, 0.023903),
    "3d_large, validated": (0.130369, 0.000902, -0.375922, 0.000669),
    "3d_one": (0.486287, 0.085353, 0.440552, 0.098229),
    "2d": (0.449102, 0.025485, 0.339355, 0.019762),
    "2d_jitter": (0.392256, 0.020679, 0.219727, 0.049377),
    "2d_jitter, validated": (0.338014, 0.031571, 0.320801, 0.037257),
    "2.5d": (0.338181, 0.027107, 0.339355, 0.046473),
    "2.5d, masked": (0.113426, 0.014933, 0.362697, 0.030755),
    "3d_sides": (0.440804, 0.000529, 0.541077, 0.006823),
    "2d_sides": (0.449102, 0.083127, 0.435059, 0.117215),
    "3d_cascade": (0.202486, -0.043504, 0.429993, -0.062906),
    "3d_cascade_sides": (0.198031, -0.035459, 0.541077, 0.006823),
    "3d_presence": (0.330903, 0.013587, 0.422546, -0.027465),
    "3d_presence, masked": (0.137699, 0.014920, 0.210242, -0.040347),
    "2.5d_presence_sides": (0.301994, 0.070828, 0.527344, 0.105006),
    "3d_cascade_presence_sides": (0.343480, -0.028170, 0.567444, 0.000146),
    "3d_sized": (0.440804, -0.048999, 0.429993, -0.062906, 110.958618, -12.287151),
    "3d_shift_jitter_sized": (0.334488, -0.007987, 0.053101, -0.036513, 84.095154, -1.595697),
    "2d_sized": (0.449102, 0.025485, 0.339355, 0.019762, 108.732422, 11.131207),
    "2.5d_sized": (0.338181, 0.027107, 0.339355, 0.046473, 108.732422, 14.555169),
    "3d_sides_sized": (0.440804, 0.000529, 0.541077, 0.006823, 110.958618, 0.570791),
    "2d_sides_sized": (0.449102, 0.083127, 0.435059, 0.117215, 108.732422, 23.840111),
    "3d_cascade_sides_sized": (0.198031, -0.035459, 0.541077, 0.006823, 110.958618, 0.570791),
    "3d_cascade_presence_sides_sized": (0.343480, -0.028170, 0.567444, 0.000146, 108.539368, 1.333994),
    "3d_cascade_presence_sides_sized, validated": (0.331791, -0.071457, 0.446777, -0.049565, 108.143127, -12.024461),
    "2.5d_presence_sides_sized": (0.266375, 0.055688, 0.411621, 0.015909, 77.630371, 0.016530),
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
