"""What images a model is for, by its training or its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.data.series_choice import Sought
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.trained_on import TrainedOn
from autospine.workflow.steps.sought import sought
from tests.cards import card_of

THICK = TrainedOn(
    cases=12,
    spacing_mm=((0.5, 0.5, 3.0), (0.8, 0.8, 4.0), (1.0, 1.0, 5.0)),
    shape=((200, 200, 9), (300, 300, 15), (400, 400, 20)),
    slices="sagittal",
    descriptions=("T2 sag",),
)


def test_by_its_training(make_configuration: Callable[..., Configuration]) -> None:
    card = card_of(make_configuration())
    assert sought(card, THICK, ("3",)) == Sought(
        "sagittal",
        True,
        ((0.5, 0.5, 3.0), (1.0, 1.0, 5.0)),
        ((100.0, 100.0, 27.0), (400.0, 400.0, 100.0)),
        ("T2 sag",),
        ("3",),
    )
    cubes = replace(THICK, spacing_mm=((0.9, 0.9, 0.9),) * 3)
    assert not sought(card, cubes).thick
    # slices that are seen one at a time have to lie in the plane of the training all the same
    assert sought(card_of(make_configuration(spacing_mm=(1.0, 1.0))), cubes).thick


def test_by_its_configuration(make_configuration: Callable[..., Configuration]) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    assert sought(card_of(replace(flat, axis_order=(2, 0, 1))), None) == Sought("sagittal", True)
    assert sought(card_of(replace(flat, axis_order=(1, 0, 2))), None, ("x",)) == Sought("coronal", True, series=("x",))
    volumes = make_configuration(axis_order=(2, 0, 1), spacing_mm=(4.0, 0.8, 0.7))
    spacing = (0.8, 0.7, 4.0)
    assert sought(card_of(volumes), None) == Sought("sagittal", True, (spacing, spacing))
    assert not sought(card_of(make_configuration()), None).thick
