from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.model_card import ModelCard
from autospine.preprocessing.locations import measure_components
from autospine.preprocessing.prepare import CaseProperties
from autospine.preprocessing.store import Store, StoredCase
from tests.cards import card_of


class Memory:
    """Prepared cases, or a previous stage's segmentations, that never were on disk."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def open(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        return self.content


def counted_case(channels: int) -> StoredCase:
    """Four slices of 4 x 4: the image is 10 x slice + channel, the label the number of the slice."""
    image = np.empty((channels, 4, 4, 4), np.float32)
    image[...] = np.arange(channels).reshape(-1, 1, 1, 1) + 10.0 * np.arange(4).reshape(1, -1, 1, 1)
    label = np.ascontiguousarray(np.broadcast_to(np.arange(4, dtype=np.uint8).reshape(-1, 1, 1), (4, 4, 4)))
    box = ((0, 4), (0, 4), (0, 4))
    properties = CaseProperties("case", (4, 4, 4), (1.0, 1.0, 1.0), box, (0, 1, 2), (1.0, 1.0, 1.0))
    return StoredCase("case", image, label, label, properties, {})


def neighbourly(make_configuration: Callable[..., Configuration], channels: int, neighbours: int) -> Configuration:
    """2.5d with patches of 4 x 4."""
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    network = replace(flat.network, in_channels=channels * (2 * neighbours + 1), strides=((1, 1), (1, 1)))
    return replace(
        flat,
        name="2.5d",
        patch=(4, 4),
        batch=16,
        neighbours=neighbours,
        normalisation=("zscore",) * channels,
        network=network,
    )


def cascaded(quick: Configuration, **training: Any) -> Configuration:
    """`quick` with the classes of a previous stage beside its one image channel."""
    network = replace(quick.network, in_channels=4)
    changed = replace(quick.training, **training)
    return replace(quick, name="3d_cascade_fullres", previous="3d_lowres", network=network, training=changed)


def partial_case(channels: int, missing: tuple[int, ...]) -> StoredCase:
    """`counted_case` without some channels: they are 0."""
    case = counted_case(channels)
    image = case.image.copy()
    image[list(missing)] = 0
    return replace(case, image=image, properties=replace(case.properties, missing=missing))


def optional(
    make_configuration: Callable[..., Configuration], channels: int, dropout: float, *, neighbours: int = 0
) -> ModelCard:
    """Channels of which all but the first may be missing, in 2d or 2.5d."""
    base = neighbourly(make_configuration, channels, neighbours)
    network = replace(base.network, in_channels=channels * (2 * neighbours + 1) + channels - 1)
    presence = PresencePlan(tuple(range(1, channels)), dropout)
    named = replace(base, name="2.5d" if neighbours else "2d", network=network)
    return card_of(named, presence=presence)


def sized(configuration: Configuration, largest: float = 500.0) -> Configuration:
    """The same with a loss by components."""
    return replace(configuration, loss=replace(configuration.loss, kind="dice_size_adaptive_ce", largest_size=largest))


def sized_card(card: ModelCard) -> ModelCard:
    """The same with a loss by components."""
    return replace(card, configuration=sized(card.configuration))


class Measured:
    """The cases of a store with the sizes of their components beside them."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(self, name: str) -> StoredCase:
        case = self.store.open(name)
        found = measure_components(np.asarray(case.label), (1, 2, 3), slices_apart=False, seed=0)
        return replace(case, sizes=found.sizes, offsets=found.offsets)


def case_of(label: np.ndarray) -> StoredCase:
    """A case with this label, whose image is the label."""
    found = measure_components(label, (1, 2, 3), slices_apart=False, seed=0)
    box = tuple((0, size) for size in label.shape)
    properties = CaseProperties("case", label.shape, (1.0,) * 3, box, (0, 1, 2), (1.0,) * 3)  # type: ignore[arg-type]
    image = label[None].astype(np.float32)
    return StoredCase("case", image, label, label, properties, found.locations, found.sizes, found.offsets)


def kinds(make_configuration: Callable[..., Configuration], quick: Configuration) -> dict[str, ModelCard]:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    network = quick.network
    cascade = replace(quick, name="3d_cascade_fullres", previous="3d_lowres", network=replace(network, in_channels=4))
    both = replace(quick, normalisation=("zscore",) * 2, network=replace(network, in_channels=3))
    return {
        "2d": card_of(flat),
        "2.5d": card_of(replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3))),
        "3d": card_of(quick),
        "sides": card_of(quick, sides=((1, 2),)),
        "cascade": card_of(cascade, sides=((1, 2),)),
        "presence": card_of(both, presence=PresencePlan((1,), 0.5)),
    }


class Twice(Measured):
    """Each image as two channels."""

    def open(self, name: str) -> StoredCase:
        case = super().open(name)
        return replace(case, image=np.concatenate([case.image, case.image]))
