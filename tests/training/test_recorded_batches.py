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
    "3d": (0.431923, -0.009690, 0.347473, -0.036044),
    "3d, masked": (0.131407, 0.008014, 0.382733, -0.026295),
    "3d_shift_jitter": (0.358563, -0.009436, 0.076904, -0.018880),
    "3d_inplane": (0.426616, -0.069600, 0.358887, -0.085553),
    "3d_large": (0.115616, -0.005724, -0.500285, -0.016842),
    "3d_large, validated": (0.130369, 0.000902, -0.375922, 0.000669),
    "3d_one": (0.452334, 0.007357, 0.440430, 0.015099),
    "2d": (0.469459, 0.010473, 0.384766, -0.000285),
    "2d_jitter": (0.365521, 0.030620, 0.167969, 0.034837),
    "2d_jitter, validated": (0.338014, 0.031571, 0.320801, 0.037257),
    "2.5d": (0.360346, 0.017662, 0.384766, 0.034592),
    "2.5d, masked": (0.112764, 0.011423, 0.375179, 0.040736),
    "3d_sides": (0.431923, -0.009690, 0.509094, -0.021016),
    "2d_sides": (0.469459, 0.010473, 0.459961, -0.033983),
    "3d_cascade": (0.160715, -0.041701, 0.347473, -0.036044),
    "3d_cascade_sides": (0.158716, -0.041929, 0.509094, -0.021016),
    "3d_presence": (0.319789, 0.073248, 0.417297, -0.044837),
    "3d_presence, masked": (0.134454, 0.019526, 0.215461, -0.056159),
    "2.5d_presence_sides": (0.262874, 0.046912, 0.385742, 0.014314),
    "3d_cascade_presence_sides": (0.333105, -0.026379, 0.528381, 0.004560),
    "3d_sized": (0.423812, -0.044143, 0.330627, -0.083439, 102.529358, -10.307623),
    "3d_shift_jitter_sized": (0.335594, -0.026239, 0.041687, -0.041397, 85.715210, -4.696023),
    "2d_sized": (0.469459, 0.010473, 0.384766, -0.000285, 112.362305, 10.722295),
    "2.5d_sized": (0.360346, 0.017662, 0.384766, 0.034592, 112.362305, 16.088921),
    "3d_sides_sized": (0.423812, -0.044143, 0.482849, -0.083836, 102.529358, -10.307623),
    "2d_sides_sized": (0.469459, 0.010473, 0.459961, -0.033983, 112.362305, 10.722295),
    "3d_cascade_sides_sized": (0.172588, -0.030195, 0.482849, -0.083836, 102.529358, -10.307623),
    "3d_cascade_presence_sides_sized": (0.333105, -0.026379, 0.528381, 0.004560, 108.153870, -7.889785),
    "3d_cascade_presence_sides_sized, validated": (0.331791, -0.071457, 0.446777, -0.049565, 108.143127, -12.024461),
    "2.5d_presence_sides_sized": (0.256199, 0.041479, 0.405273, -0.030935, 92.580078, 6.754621),
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
