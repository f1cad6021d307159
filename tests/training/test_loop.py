from __future__ import annotations

import csv
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from autospine.data.folds import Fold
from autospine.errors import AutospineError, PlanError, Stopped
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model import WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training import epochs, loop
from autospine.training.epochs import FitProgress, FitResult
from autospine.training.loop import fit
from tests.cards import card_of

FOLD = Fold(("a", "b"), ("c",))
CLASSES = ("L1", "L2", "L3")
CPU = torch.device("cpu")


def train(configuration: Configuration, store: Store, folder: Path, fold: Fold = FOLD, **more: object) -> FitResult:
    folder.mkdir(exist_ok=True)
    return fit(card_of(configuration), store, fold, folder, device=CPU, **{"workers": 0, **more})  # type: ignore[arg-type]


def stop_at(step: int, number: signal.Signals = signal.SIGINT):  # type: ignore[no-untyped-def]
    def on_step(state: FitProgress) -> None:
        if state.step == step:
            os.kill(os.getpid(), number)

    return on_step


def test_training_learns_and_writes_its_history(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    longer = replace(quick, training=replace(quick.training, optimiser="adamw", learning_rate=0.02, epochs=12))
    result = train(longer, small_store, tmp_path / "fold")
    assert result.step == 48
    assert result.history[-1].train_loss < result.history[0].train_loss - 0.5
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

    monkeypatch.setattr(loop, "PeakMemory", Peak)
    monkeypatch.setattr(epochs, "Clock", Ticking)
    result = train(quick, small_store, tmp_path / "fold")
    # read at the beginning of a step, for its rate, and when it has ended
    assert result.seconds_per_step == 2.0
    assert result.peak_memory_bytes == 123


def test_budget_ends_the_schedule(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    timed = replace(quick, training=replace(quick.training, budget_s=2.0, epochs=1))
    result = train(timed, small_store, tmp_path / "fold")
    assert result.step > quick.training.steps_per_epoch
    assert 2.0 <= result.seconds < 3.5
    # of the last step, which a busy machine may begin half a second before the end
    assert result.history[-1].learning_rate < 0.5 * timed.training.learning_rate


def test_another_plan_does_not_continue(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        train(quick, small_store, tmp_path / "fold", on_step=stop_at(2))
    other = replace(quick, training=replace(quick.training, learning_rate=0.5))
    with pytest.raises(PlanError, match="another plan"):
        train(other, small_store, tmp_path / "fold")


def test_a_damaged_checkpoint_is_named(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    (tmp_path / "fold").mkdir()
    (tmp_path / "fold" / "training.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(PlanError, match=r"training\.ckpt"):
        train(quick, small_store, tmp_path / "fold")


def test_a_diverging_training_says_so(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    wild = replace(quick, training=replace(quick.training, learning_rate=1e30, clip_norm=1e30))
    with pytest.raises(AutospineError, match="loss became"):
        train(wild, small_store, tmp_path / "fold")
    assert not (tmp_path / "fold" / WEIGHTS).exists()


def test_no_validation_cases_no_validation(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    short = replace(quick, training=replace(quick.training, epochs=1))
    result = train(short, small_store, tmp_path / "fold", Fold(("a",), ()))
    assert result.history[0].validation_loss is None
    assert result.history[0].dice == ()


@pytest.mark.gpu
def test_cuda_trains_and_measures_memory(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    longer = replace(quick, training=replace(quick.training, optimiser="adamw", learning_rate=0.02, epochs=12))
    folder = tmp_path / "fold"
    folder.mkdir()
    device = torch.device("cuda")
    result = fit(card_of(longer), small_store, FOLD, folder, device=device, workers=2)
    assert result.history[-1].train_loss < result.history[0].train_loss - 0.5
    assert result.peak_memory_bytes is not None
    assert result.peak_memory_bytes > 0
