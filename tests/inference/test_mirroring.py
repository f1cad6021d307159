"""Mirrorings of a batch, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from autospine.inference.mirroring import mirrorings
from autospine.planning.document.configuration import Configuration
from tests.cards import card_of


def test_all_combinations_none_of_them_first(make_configuration: Callable[..., Configuration]) -> None:
    card = card_of(make_configuration())
    found = [turn.axes for turn in mirrorings(card, True)]
    assert found == [(), (2,), (3,), (4,), (2, 3), (2, 4), (3, 4), (2, 3, 4)]
    assert [turn.axes for turn in mirrorings(card, False)] == [()]
    batch = torch.rand(2, 4, 3, 4, 5)
    for turn in mirrorings(card, True):
        assert torch.equal(turn.back(turn.turn(batch)), batch)


def test_sides_swap_from_right_to_left_alone(make_configuration: Callable[..., Configuration]) -> None:
    """A cascade of three classes, 1 and 3 being sides; the planned axes are canonical X, Z, Y."""
    base = make_configuration(axis_order=(2, 0, 1))
    second = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    batch = torch.arange(4.0).view(1, 4, 1, 1, 1).expand(1, 4, 2, 2, 2)
    for turn in mirrorings(card_of(second, sides=((1, 3),)), True):
        swaps = 2 in turn.axes
        assert turn.turn(batch)[0, :, 0, 0, 0].tolist() == ([0, 3, 2, 1] if swaps else [0, 1, 2, 3])
        assert turn.back(batch)[0, :, 0, 0, 0].tolist() == ([0, 3, 2, 1] if swaps else [0, 1, 2, 3])
