from __future__ import annotations

import csv
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autospine.errors import AutospineError, PlanError, Stopped
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training import epochs
from autospine.training.checkpoint import CHECKPOINT
from autospine.training.progress import FitProgress
from tests.training.trainings import lasting, stop_at, train


def test_training_learns_and_writes_its_history(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    longer = replace(quick, training=replace(quick.training, optimiser="adamw", learning_rate=0.02, epochs=12))
    result = train(longer, small_store, tmp_path / "fold")
    assert result.step == 48
    assert result.history[-1].train_loss < result.history[0].train_loss - 0.5
    assert all(record.waiting is not None and 0 < record.waiting < 1 for record in result.history)
    rows = list(csv.DictReader((tmp_path / "fold" / "history.csv").read_text().splitlines()))
    assert len(rows) == 12
    assert rows[-1]["step"] == "48"
    assert float(rows[-1]["dice_L1"]) > 0.5
    assert rows[-1]["dice_L3"] == ""  # never seen, never predicted
    assert (tmp_path / "fold" / WEIGHTS).is_file()


@pytest.mark.parametrize(("stop_after", "number"), [(3, signal.SIGINT), (6, signal.SIGTERM), (8, signal.SIGINT)])
def test_a_stopped_training_ends_as_if_it_had_not_been(
    small_store: Store, quick: Configuration, tmp_path: Path, stop_after: int, number: signal.Signals
) -> None:
    uninterrupted = train(quick, small_store, tmp_path / "whole")
    with pytest.raises(Stopped, match=f"{stop_after} steps"):
        train(quick, small_store, tmp_path / "parts", on_step=stop_at(stop_after, number))
    assert not (tmp_path / "parts" / WEIGHTS).exists()
    steps: list[int] = []
    result = train(quick, small_store, tmp_path / "parts", on_step=lambda state: steps.append(state.step))
    assert steps[0] == stop_after + 1
    assert result.step == 12
    assert [epoch.step for epoch in result.history] == [epoch.step for epoch in uninterrupted.history] == [4, 8, 12]
    assert [epoch.train_loss for epoch in result.history] == [epoch.train_loss for epoch in uninterrupted.history]
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_same_seed_same_weights_whatever_the_workers(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    short = replace(quick, training=replace(quick.training, epochs=1))
    train(short, small_store, tmp_path / "one")
    train(short, small_store, tmp_path / "two", workers=2)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_training_says_what_it_took(
    small_store: Store, quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peak:
        def __init__(self, device: torch.device) -> None:
            pass

        def peak_bytes(self) -> int:
            return 123

    class Ticking:
        """A clock that stands a second further each time it is read."""

        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        @property
        def seconds(self) -> float:
            self._seconds += 1
            return self._seconds

    monkeypatch.setattr(epochs, "PeakMemory", Peak)
    monkeypatch.setattr(epochs, "Clock", Ticking)
    result = train(quick, small_store, tmp_path / "fold")
    # read at the beginning of a step, for its rate, when its batch is there, and when it has ended
    assert result.seconds_per_step == 3.0
    assert result.peak_memory_bytes == 123


def test_budget_ends_the_schedule(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    timed = replace(quick, training=replace(quick.training, budget_s=2.0, epochs=1))
    result = train(timed, small_store, tmp_path / "fold")
    assert result.step > quick.training.steps_per_epoch
    assert 2.0 <= result.seconds < 3.5
    # of the last step, which a busy machine may begin half a second before the end
    assert result.history[-1].learning_rate < 0.5 * timed.training.learning_rate


def test_a_diverging_training_says_so(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    wild = replace(quick, training=replace(quick.training, learning_rate=1e30, clip_norm=1e30))
    with pytest.raises(AutospineError, match="loss became"):
        train(wild, small_store, tmp_path / "fold")
    assert not (tmp_path / "fold" / WEIGHTS).exists()


@pytest.mark.gpu
def test_cuda_trains_and_measures_memory(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    longer = replace(quick, training=replace(quick.training, optimiser="adamw", learning_rate=0.02, epochs=12))
    result = train(longer, small_store, tmp_path / "fold", device=torch.device("cuda"), workers=2)
    assert result.history[-1].train_loss < result.history[0].train_loss - 0.5
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes > 0


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


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_kill_loses_two_minutes_whatever_the_length_of_an_epoch(
    small_store: Store, quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """With a checkpoint due at every moment there is one after each step, at an epoch's end as within it."""
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_S", -1.0)
    saved: list[int] = []
    real = epochs.save_checkpoint
    monkeypatch.setattr(
        epochs, "save_checkpoint", lambda folder, state: (saved.append(state.step), real(folder, state))
    )
    short = replace(quick, training=replace(quick.training, epochs=8 // steps, steps_per_epoch=steps))
    train(short, small_store, tmp_path / "fold")
    assert sorted(set(saved)) == list(range(1, 9))


def test_epochs_of_one_step_stop_at_once(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    short = replace(quick, training=replace(quick.training, epochs=9, steps_per_epoch=1))
    with pytest.raises(Stopped, match="3 steps"):
        train(short, small_store, tmp_path / "fold", on_step=stop_at(3))
    assert train(short, small_store, tmp_path / "fold").step == 9


def test_what_cannot_be_batched_is_saved_before_it_ends_the_training(
    small_store: Store, quick: Configuration, tmp_path: Path
) -> None:
    """A case that is damaged while a training runs: said with its name, and no step is lost."""
    label = small_store.root / "b.label.npy"

    def damage(state: FitProgress) -> None:
        if state.step == 2:
            (small_store.root / "b.image.npy").unlink()
            label.unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autospine.training.batches.MOST_OPEN", 1)
        with pytest.raises(PlanError, match="'b'") as fault:
            train(quick, small_store, tmp_path / "fold", workers=0, on_step=damage)
    assert "the same command goes on" in fault.value.found
    assert (tmp_path / "fold" / CHECKPOINT).is_file()


def test_a_fault_in_the_validation_costs_no_epoch(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    """The epoch is saved as trained and not yet validated, and that is what is done first when it goes on."""
    train(quick, small_store, tmp_path / "whole", workers=0)
    properties = small_store.root / "c.properties.json"
    content = properties.read_bytes()

    def damage(state: FitProgress) -> None:
        if state.step == 4:  # the end of the first epoch
            properties.unlink()

    with pytest.raises(PlanError, match="the checkpoint of step 4 is saved") as fault:
        train(quick, small_store, tmp_path / "parts", workers=0, on_step=damage)
    assert fault.value.remedy
    properties.write_bytes(content)
    train(quick, small_store, tmp_path / "parts", workers=0)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    histories = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "parts")]
    assert [line.split(",")[:2] for line in histories[0]] == [line.split(",")[:2] for line in histories[1]]
