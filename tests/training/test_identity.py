from __future__ import annotations

from dataclasses import replace

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import ExpectedPlan
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
    timed = replace(quick, expected=ExpectedPlan(memory_gb=2.0))
    assert segmenting(timed).identity(small_store.key) == segmenting(quick).identity(small_store.key)
