"""The card of a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autospine.planning.model import ModelCard, read_model, write_model
from autospine.planning.plan import Configuration, ExpectedPlan, Plan


def test_weights_are_taken_whatever_the_schedule_and_what_it_takes(
    make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    configuration = make_configuration()
    plan = make_plan(configuration)

    def card(changed: Configuration) -> ModelCard:
        return ModelCard.from_plan(plan, changed)

    trained = card(configuration)
    longer = replace(configuration, training=replace(configuration.training, epochs=77))
    timed = replace(configuration, expected=ExpectedPlan(memory_gb=3.0, device="cpu", seconds_per_step=0.5, steps=9))
    for same in (longer, timed):
        assert card(same).takes_weights_of(trained)
        assert trained.takes_weights_of(card(same))
    wider = replace(configuration, network=replace(configuration.network, features=(8, 32)))
    unmirrored = replace(configuration, training=replace(configuration.training, mirror_axes=()))
    for other in (wider, unmirrored, replace(configuration, overlap=0.25)):
        assert not card(other).takes_weights_of(trained)


def test_a_cascades_card_comes_back(
    tmp_path: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    base = make_configuration()
    cascade = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    card = ModelCard.from_plan(make_plan(), cascade)
    write_model(tmp_path, card)
    assert read_model(tmp_path) == card
