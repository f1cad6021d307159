from __future__ import annotations

from dataclasses import replace

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.preprocessing.previous import PreviousStage
from autospine.preprocessing.store import Store
from tests.training.trainings import lasting, segmenting


def test_length_alone_makes_no_other_training(small_store: Store, quick: Configuration) -> None:
    one, longer, timed, other = (
        segmenting(lasting(quick, **changes)).identity(small_store.key)
        for changes in ({}, {"epochs": 9}, {"budget_s": 60.0}, {"learning_rate": 0.5})
    )
    assert len({one.exact, longer.exact, timed.exact, other.exact}) == 4
    assert one.any_length == longer.any_length == timed.any_length != other.any_length


def test_a_training_is_that_of_its_previous_stage(small_store: Store, quick: Configuration) -> None:
    one, other = PreviousStage({}, "1" * 64), PreviousStage({}, "2" * 64)
    identities = {segmenting(quick, previous=previous).identity(small_store.key) for previous in (None, one, other)}
    assert len(identities) == 3


def test_what_predictions_alone_read_makes_no_other_training(small_store: Store, quick: Configuration) -> None:
    plain = segmenting(quick)
    levels = LevelsPlan((1, 2), 0, 1.1, (0.9, 0.8))
    told = replace(plain, card=replace(plain.card, data=replace(plain.card.data, levels=levels)))
    assert told.identity(small_store.key) == plain.identity(small_store.key)


def test_whatever_else_is_known_of_the_data_makes_another(small_store: Store, quick: Configuration) -> None:
    plain = segmenting(quick)
    first, *rest = plain.card.data.labels
    for changed in ({"dataset": "other"}, {"sides": ((1, 2),)}, {"labels": ((first[0], 77), *rest)}):
        other = replace(plain, card=replace(plain.card, data=replace(plain.card.data, **changed)))
        assert other.identity(small_store.key).any_length != plain.identity(small_store.key).any_length
