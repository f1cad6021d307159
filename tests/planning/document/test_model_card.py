"""The channels that enter a network, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import PresencePlan
from autospine.planning.document.model_card import Entering
from tests.cards import card_of

Make = Callable[..., Configuration]


def test_slices_each_with_all_channels_and_what_is_missing_after_them(make_configuration: Make) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    beside = replace(
        flat,
        name="2.5d",
        neighbours=1,
        normalisation=("zscore",) * 2,
        network=replace(flat.network, in_channels=7),
    )
    entering = card_of(beside, presence=PresencePlan((1,), 0.25)).entering
    assert (entering.scan, entering.presence, entering.previous) == (slice(0, 6), slice(6, 7), slice(7, 7))
    assert entering.count == 7
    # T1 T2 of each slice: those of T2 are every second one
    assert list(range(7))[entering.places(1)] == [1, 3, 5]
    assert entering.mirrored == (0, 1, 2, 3, 4, 5, 6)


def test_the_classes_of_a_previous_stage_come_last_and_swap_their_sides(make_configuration: Make) -> None:
    base = make_configuration()
    network = replace(base.network, in_channels=4)
    cascade = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    entering = card_of(cascade, sides=((3, 1),)).entering
    assert (entering.scan, entering.previous, entering.count) == (slice(0, 1), slice(1, 4), 4)
    assert entering.mirrored == (0, 3, 2, 1)
    assert card_of(cascade).entering.mirrored == (0, 1, 2, 3)


def test_one_image_alone() -> None:
    assert Entering(1, 1, (), ()).count == 1
