"""A training that is asked to be longer, or shorter, than it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autospine.errors import PlanError, Stopped
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model import WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training.checkpoint import CHECKPOINT
from autospine.training.loop import training_identity
from tests.cards import card_of
from tests.training.test_loop import FOLD, stop_at, train


def lasting(configuration: Configuration, **changes: object) -> Configuration:
    return replace(configuration, training=replace(configuration.training, **changes))  # type: ignore[arg-type]


def test_a_training_that_ended_goes_on_to_more_epochs(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    folder = tmp_path / "fold"
    train(quick, small_store, folder)
    steps: list[int] = []
    result = train(lasting(quick, epochs=5), small_store, folder, on_step=lambda state: steps.append(state.step))
    assert steps == list(range(13, 21))
    assert [epoch.step for epoch in result.history] == [4, 8, 12, 16, 20]
    # the rate of step 16 is that of a schedule of 20: 15 of them are done as it begins
    assert result.history[3].learning_rate == pytest.approx(quick.training.learning_rate * (1 - 15 / 20) ** 0.9)


@pytest.mark.parametrize("changes", [{"epochs": 2}, {"epochs": 3, "budget_s": 1e-6}])
def test_less_than_there_is_is_refused(
    small_store: Store, quick: Configuration, tmp_path: Path, changes: dict[str, float]
) -> None:
    folder = tmp_path / "fold"
    train(quick, small_store, folder)
    before = (folder / WEIGHTS).read_bytes()
    with pytest.raises(PlanError, match="has come to 3 epochs"):
        train(lasting(quick, **changes), small_store, folder)
    assert (folder / WEIGHTS).read_bytes() == before


def test_one_that_was_stopped_takes_another_length_and_a_time(
    small_store: Store, quick: Configuration, tmp_path: Path
) -> None:
    folder = tmp_path / "fold"
    with pytest.raises(Stopped):
        train(quick, small_store, folder, on_step=stop_at(6))
    with pytest.raises(PlanError, match="has come to 1.5 epochs"):
        train(lasting(quick, epochs=1), small_store, folder)
    with pytest.raises(Stopped):
        train(lasting(quick, budget_s=600.0), small_store, folder, on_step=stop_at(7))
    assert train(lasting(quick, epochs=2), small_store, folder).step == 8


def test_a_checkpoint_that_knows_no_other_length_goes_on_to_its_own(
    small_store: Store, quick: Configuration, tmp_path: Path
) -> None:
    """As versions wrote it that did not tell the length from the rest."""
    train(quick, small_store, tmp_path / "whole")
    folder = tmp_path / "parts"
    with pytest.raises(Stopped):
        train(quick, small_store, folder, on_step=stop_at(6))
    content = torch.load(folder / CHECKPOINT, weights_only=True)
    del content["any_length"]
    torch.save(content, folder / CHECKPOINT)
    with pytest.raises(PlanError, match="another plan"):
        train(lasting(quick, epochs=5), small_store, folder)
    train(quick, small_store, folder)
    whole, parts = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


def test_length_alone_makes_no_other_training(small_store: Store, quick: Configuration) -> None:
    one, longer, timed, other = (
        training_identity(card_of(lasting(quick, **changes)), small_store.key, FOLD)
        for changes in ({}, {"epochs": 9}, {"budget_s": 60.0}, {"learning_rate": 0.5})
    )
    assert len({one.exact, longer.exact, timed.exact, other.exact}) == 4
    assert one.any_length == longer.any_length == timed.any_length != other.any_length
