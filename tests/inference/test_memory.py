"""Memory of a prediction, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.inference.memory import prediction_bytes, scores_bytes, tiles_together
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from tests.cards import card_of

Make = Callable[..., Configuration]


def test_the_largest_of_preparing_predicting_and_restoring(make_configuration: Make) -> None:
    """Four outputs and a patch of 8 x 16 x 16; preparing holds 24 bytes a native voxel and 4 a prepared one."""
    card = card_of(make_configuration())
    assert scores_bytes(card.configuration, 1000) == 20_000
    tiles = 4 * 4 * 4 * 8 * 16 * 16
    assert prediction_bytes(card, 100, 1000) == 4 * 1000 + 20_000 + tiles
    assert prediction_bytes(card, 10**6, 1000) == 24 * 10**6 + 4000
    # on the way back 8 bytes a native voxel, and 24 a prepared one that are held beside
    assert prediction_bytes(card, 10**5, 10**5) == 2_400_000 + 8 * 10**5
    levels = card_of(card.configuration, levels=LevelsPlan((1, 2), 0, 1.0, (0.5, 0.5)))
    assert prediction_bytes(levels, 100, 10**5) == 2_400_000 + 32 * 10**5


def test_slices_go_together_as_training_had_room(make_configuration: Make) -> None:
    assert tiles_together(make_configuration(), "cuda") == 1
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    assert tiles_together(flat, "cpu") == 4
    assert [tiles_together(replace(flat, batch=batch), "cuda") for batch in (2, 12, 40)] == [4, 24, 32]
