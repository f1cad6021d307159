"""What a training that is stopped leaves to predict with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from autospine.data.folds import Fold
from autospine.errors import Stopped
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model import BEST, WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training import best as best_module
from autospine.training.best import BestWeights, moving_dice
from autospine.training.checkpoint import CHECKPOINT
from autospine.training.log import EpochRecord
from tests.training.trainings import stop_at, train


def record(epoch: int, *dice: float | None) -> EpochRecord:
    return EpochRecord(epoch, 4 * (epoch + 1), 1.0, 0.01, 0.5, 0.5, dice)


def about(folder: Path) -> dict[str, str]:
    with safe_open(folder / BEST, framework="pt") as file:
        return dict(file.metadata() or {})


def test_the_moving_average_by_hand() -> None:
    history = [record(0, 0.5), record(1, None), record(2, 0.7, None), record(3, 0.2)]
    assert moving_dice(history[:2]) == 0.5
    assert moving_dice(history[:3]) == pytest.approx(0.9 * 0.5 + 0.1 * 0.7)
    assert moving_dice(history) == pytest.approx(0.9 * 0.52 + 0.1 * 0.2)
    assert moving_dice([record(0, None)]) is None


def test_a_worse_epoch_keeps_the_better_weights_also_after_a_stop(quick: Configuration, tmp_path: Path) -> None:
    """Weights 1 with Dice 0.5, 2 with 0.7, then worse ones: 2 stay, and it is known that they are better."""
    best, history = BestWeights(tmp_path, quick.training), list[EpochRecord]()
    best.write({"w": torch.zeros(2)}, 3, history)
    assert about(tmp_path) == {"step": "3", "epoch": "0", "epochs": "3"}  # none has ended: the newest
    for value, dice in ((1.0, 0.5), (2.0, 0.7), (3.0, 0.1)):
        history.append(record(len(history), dice))
        best.look({"w": torch.full((2,), value)}, history)
    best.write({"w": torch.full((2,), 9.0)}, 13, history)
    assert load_file(tmp_path / BEST)["w"].tolist() == [2.0, 2.0]
    assert about(tmp_path)["epoch"] == "2" and about(tmp_path)["step"] == "8"

    again = BestWeights(tmp_path, quick.training)
    history.append(record(3, 0.2))
    again.look({"w": torch.full((2,), 4.0)}, history)
    again.write({"w": torch.full((2,), 4.0)}, 16, history)
    assert load_file(tmp_path / BEST)["w"].tolist() == [2.0, 2.0]
    for value in (5.0, 6.0):  # 0.505, then 0.5545, which is more than 0.52
        history.append(record(len(history), 1.0))
        again.look({"w": torch.full((2,), value)}, history)
    again.write({"w": torch.full((2,), 7.0)}, 24, history)
    assert load_file(tmp_path / BEST)["w"].tolist() == [6.0, 6.0]


def test_a_stopped_training_has_its_best_weights_and_one_that_ended_its_last(
    small_store: Store, quick: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[int, dict[str, torch.Tensor]] = {}
    real = BestWeights.look

    def look(self: BestWeights, weights: dict[str, torch.Tensor], history: list[EpochRecord]) -> None:
        kept[len(history)] = {name: tensor.clone() for name, tensor in weights.items()}
        real(self, weights, history)

    monkeypatch.setattr(best_module.BestWeights, "look", look)
    folder = tmp_path / "fold"
    with pytest.raises(Stopped):
        train(quick, small_store, folder, on_step=stop_at(10))
    chosen = kept[int(about(folder)["epoch"])]
    assert all(torch.equal(tensor, chosen[name]) for name, tensor in load_file(folder / BEST).items())
    train(quick, small_store, folder)
    assert not (folder / BEST).exists() and (folder / WEIGHTS).is_file()


def test_without_validation_the_newest_weights_are_kept(
    small_store: Store, quick: Configuration, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        train(quick, small_store, tmp_path / "fold", Fold(("a", "b"), ()), on_step=stop_at(6))
    newest = torch.load(tmp_path / "fold" / CHECKPOINT, weights_only=True)["network"]
    assert about(tmp_path / "fold")["step"] == "6"
    assert all(torch.equal(tensor, newest[name]) for name, tensor in load_file(tmp_path / "fold" / BEST).items())
