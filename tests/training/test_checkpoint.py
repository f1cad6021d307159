"""What a training leaves on disk to go on from."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from autospine.data.folds import Fold
from autospine.errors import OutputError, PlanError, Stopped
from autospine.networks.weights import read_metadata
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import BEST, WEIGHTS
from autospine.preprocessing.store import Store
from autospine.training import checkpoint as checkpoint_module
from autospine.training.checkpoint import (
    CHECKPOINT,
    EARLIER,
    BestWeights,
    Checkpoint,
    forget_earlier,
    load_checkpoint,
    moving_dice,
    recorded_precision,
    save_checkpoint,
    save_weights,
    saying_what_stands,
    write_weights,
)
from autospine.training.identity import Identity
from autospine.training.progress import EpochRecord
from tests.training.trainings import CPU, stop_at, train

OURS = Identity("exact", "any length")


HISTORY = (EpochRecord(0, 4, 1.5, 0.01, 0.5, None, (0.25, None)),)


def checkpoint(step: int = 5) -> Checkpoint:
    return Checkpoint(
        network={"weight": torch.arange(3.0)},
        optimiser={"state": {}, "param_groups": [{"lr": 0.01}]},
        scaler={},
        step=step,
        seconds=2.5,
        history=HISTORY,
        summed_loss=torch.tensor(0.75),
        counted=1,
        identity=OURS.exact,
        precision="float32",
        any_length=OURS.any_length,
    )


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, OURS, CPU) is None
    save_checkpoint(tmp_path, checkpoint())
    for mmap in (False, True):
        found = load_checkpoint(tmp_path, OURS, CPU, mmap=mmap)
        assert found is not None
        assert (found.step, found.seconds, found.history, found.counted) == (5, 2.5, HISTORY, 1)
        assert torch.equal(found.network["weight"], torch.arange(3.0)) and found.summed_loss == 0.75
        assert found.optimiser["param_groups"] == [{"lr": 0.01}]
    assert recorded_precision(tmp_path) == "float32"


def test_one_of_another_length_is_taken_and_one_of_another_training_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint())
    longer = load_checkpoint(tmp_path, Identity("other", OURS.any_length), CPU)
    assert longer is not None and longer.identity == OURS.exact
    with pytest.raises(PlanError, match="another plan, fold, split or other data"):
        load_checkpoint(tmp_path, Identity("other", "other"), CPU)


def test_what_cannot_be_read_or_holds_something_else_is_named(tmp_path: Path) -> None:
    for content in (b"not a checkpoint", b""):
        (tmp_path / CHECKPOINT).write_bytes(content)
        with pytest.raises(PlanError, match=r"training\.ckpt[\s\S]*cannot be read[\s\S]*--overwrite"):
            load_checkpoint(tmp_path, OURS, CPU)
    torch.save({"step": 3, "history": []}, tmp_path / CHECKPOINT)
    with pytest.raises(PlanError, match="cannot be read"):
        load_checkpoint(tmp_path, OURS, CPU)


@pytest.mark.parametrize("links", [True, False])
def test_where_the_newest_is_damaged_the_one_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*names: Path) -> None:
        raise OSError("no second names here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    for step in (5, 6, 7):
        save_checkpoint(tmp_path, replace(checkpoint(step), network={"weight": torch.arange(4096.0)}))
    whole, told = (tmp_path / CHECKPOINT).read_bytes(), list[str]()

    def found() -> int | None:
        there = load_checkpoint(tmp_path, OURS, CPU, tell=told.append)
        return None if there is None else there.step

    assert found() == 7 and not told
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1  # within the weights
    for content in (bytes(flipped), whole[:-200], b"", None):
        (tmp_path / CHECKPOINT).unlink(missing_ok=True)
        if content is not None:
            (tmp_path / CHECKPOINT).write_bytes(content)
        assert found() == 6
    assert len(told) == 4 and all("the checkpoint before it, of step 6" in text for text in told)
    assert "checksum" in told[0] and "there is no training.ckpt" in told[3]
    (tmp_path / EARLIER).write_bytes(b"")
    with pytest.raises(PlanError, match=r"training\.earlier\.ckpt[\s\S]*cannot be read"):
        found()
    forget_earlier(tmp_path)
    assert found() is None


def test_a_fault_of_writing_says_what_is_kept(tmp_path: Path) -> None:
    for kept in ("no checkpoint yet", "of step 5, is whole"):
        with pytest.raises(OutputError, match=kept) as fault, saying_what_stands(tmp_path):
            raise OutputError("place", "no room", "some", "make room")
        assert fault.value.remedy.startswith("make room: ")
        save_checkpoint(tmp_path, checkpoint())


def test_weights_are_written_whole_with_what_is_said_of_them(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    save_weights(tmp_path, network)
    found = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(tensor, found[name]) for name, tensor in network.state_dict().items())
    # a view that is not contiguous is written as what it shows
    write_weights(tmp_path / "best.safetensors", {"turned": torch.arange(6.0).view(2, 3).T}, {"step": "7"})
    assert load_file(tmp_path / "best.safetensors")["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert read_metadata(tmp_path / "best.safetensors")["step"] == "7"


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


def test_a_training_whose_newest_checkpoint_is_damaged_ends_with_the_same_weights(
    small_store: Store, quick: Configuration, tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    for step in (2, 5, 7):
        with pytest.raises(Stopped):
            train(quick, small_store, folder, on_step=stop_at(step))
        if step > 2:
            (folder / CHECKPOINT).write_bytes(b"half of a")
    train(quick, small_store, folder)
    train(quick, small_store, tmp_path / "whole")
    one, two = (load_file(place / WEIGHTS) for place in (folder, tmp_path / "whole"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (folder / CHECKPOINT).is_file() and not (folder / EARLIER).exists()


@pytest.mark.parametrize("content", [None, b"not a checkpoint"])
def test_without_a_checkpoint_that_says_it_no_precision_is_recorded(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / CHECKPOINT).write_bytes(content)
    assert recorded_precision(tmp_path) is None
    torch.save({"step": 3}, tmp_path / CHECKPOINT)
    assert recorded_precision(tmp_path) is None


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

    monkeypatch.setattr(checkpoint_module.BestWeights, "look", look)
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
