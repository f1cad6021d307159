"""What trackers are told of a training: each row once, in one run, and a training that waits for none of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch

from autospine.data.dataset import open_dataset
from autospine.data.disk.files import write_json
from autospine.data.folds import Fold
from autospine.errors import Stopped
from autospine.evaluation.score import score_cases
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.training.fold import FoldTask
from autospine.training.progress import EpochRecord, write_history
from autospine.workflow.pretrain import PretrainRequest, pretrain_images
from autospine.workflow.runs.folder import RunFolder, read_record
from autospine.workflow.steps import tracking
from autospine.workflow.steps.trackers import About, End
from autospine.workflow.steps.tracking import Sent, flat, score_numbers, tracked
from autospine.workflow.steps.training import Training
from autospine.workflow.train import TrainRequest, train_fold
from tests.workflow.conftest import Noting
from tests.workflow.stopping import Stopping


@dataclass
class Server:
    """A tracker of tests: what each run has, in the order in which it came."""

    runs: dict[str, list[tuple[object, ...]]] = field(default_factory=dict)
    told: list[About] = field(default_factory=list)
    fails_at: int | None = None
    """An epoch that it does not take."""
    answers: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.answers.set()


class Client:
    """What a training has of a server."""

    title = "Kept"

    def __init__(self, server: Server) -> None:
        self.server = server

    def begin(self, about: About, run: str | None, epoch: int) -> str:
        self.server.answers.wait()
        self.run = run or f"run{len(self.server.runs)}"
        self.server.told.append(about)
        self.server.runs.setdefault(self.run, []).append(("begin", epoch))
        return self.run

    def where(self) -> str:
        return "here"

    def log(self, epoch: int, numbers: Mapping[str, float]) -> None:
        if epoch == self.server.fails_at:
            raise OSError("no route to host\nand more")
        self.server.runs[self.run].append((epoch, dict(numbers)))

    def score(self, epoch: int, numbers: Mapping[str, float], picture: Path | None) -> None:
        self.server.runs[self.run].append(("score", epoch, dict(numbers), picture and picture.name))

    def close(self, end: End) -> None:
        self.server.runs[self.run].append((end,))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Server]:
    """Servers of tests, by the names of the trackers in whose place they stand."""
    found = {"tensorboard": Server(), "mlflow": Server()}
    monkeypatch.setattr(tracking, "make_tracker", lambda name: Client(found[name]))
    return found


def record(epoch: int, *dice: float | None) -> EpochRecord:
    return EpochRecord(epoch, 2 * epoch + 2, 1.5 * epoch, 0.01, 0.5, None, dice)


Begin = Callable[..., Training[FoldTask]]


@pytest.fixture
def begin(run: RunFolder) -> Begin:
    """A function that gives a training of the toy dataset."""

    def make(course: str = "begins", progress: Any = None) -> Training[FoldTask]:
        plan = run.read_plan()
        task, folder = FoldTask(plan.card("2d"), Fold(("a",), ())), run.fold("2d", 0)
        folder.mkdir(parents=True, exist_ok=True)
        told: Any = (task, task.identity("key"), folder, (), course, torch.device("cpu"), progress or Noting())
        return Training(run, plan, *told)

    return make


def train(training: Training[FoldTask], names: tuple[str, ...], *epochs: int) -> None:
    """What a training does for its trackers: these epochs, all those before them in the history."""
    with tracked(training, names) as told:
        for epoch in epochs:
            history = [record(earlier, 0.25, None) for earlier in range(epoch + 1)]
            write_history(training.folder, history, ("L1", "disc L1/L2"))
            told.on_epoch(history[-1])
        told.scored(None)


def test_each_epoch_is_sent_once_and_a_training_goes_on_in_its_run(begin: Begin, servers: dict[str, Server]) -> None:
    numbers = {"learning_rate": 0.01, "train_loss": 0.5, "dice/L1": 0.25, "dice/mean": 0.25}
    row = [(epoch, {"step": 2 * epoch + 2, "seconds": 1.5 * epoch, **numbers}) for epoch in range(4)]
    first = begin()
    train(first, ("mlflow",), 0, 1)
    sent = [("begin", 0), row[0], row[1], ("score", 1, {}, None), ("FINISHED",)]
    assert servers["mlflow"].runs == {"run0": sent}
    assert json.loads((first.folder / "tracked_by_mlflow.json").read_text()) == {
        "schema": 1, "run": "run0", "epochs": 2, "scored": 2
    }  # fmt: skip
    # a checkpoint from before epoch 1: it comes again, and is not sent again
    train(begin("goes on"), ("mlflow",), 1, 2)
    sent += [("begin", 2), row[2], ("score", 2, {}, None), ("FINISHED",)]
    assert servers["mlflow"].runs == {"run0": sent}
    # asked for later than the others, a tracker gets all
    train(begin("goes on"), ("mlflow", "tensorboard"), 3)
    assert servers["mlflow"].runs["run0"][len(sent) :] == [("begin", 3), row[3], ("score", 3, {}, None), ("FINISHED",)]
    assert servers["tensorboard"].runs == {"run0": [("begin", 0), *row, ("score", 3, {}, None), ("FINISHED",)]}
    # what has ended and is sent opens nothing
    train(begin("has ended"), ("mlflow", "tensorboard"))
    assert len(servers["mlflow"].told) == 3 and len(servers["tensorboard"].told) == 1
    # what begins anew is another run
    train(begin(), ("mlflow",), 0)
    assert servers["mlflow"].runs["run1"] == [("begin", 0), row[0], ("score", 0, {}, None), ("FINISHED",)]


def test_a_tracker_that_fails_is_said_once_and_stops_nothing(begin: Begin, servers: dict[str, Server]) -> None:
    servers["mlflow"].fails_at, noting = 1, Noting()
    train(begin(progress=noting), ("mlflow", "tensorboard"), 0, 1, 2)
    assert [epoch for epoch, *_ in servers["mlflow"].runs["run0"]] == ["begin", 0]
    assert [epoch for epoch, *_ in servers["tensorboard"].runs["run0"]] == ["begin", 0, 1, 2, "score", "FINISHED"]
    (said,) = [note for note in noting.notes if "takes no more" in note]
    assert said == (
        "Kept takes no more (OSError: no route to host): the rest of toy/2d/fold_0 is sent where the same command is "
        "repeated after the training"
    )
    assert sum("Kept has toy/2d/fold_0: here" in note for note in noting.notes) == 2
    servers["mlflow"].fails_at = None
    train(begin("has ended"), ("mlflow",))
    assert [epoch for epoch, *_ in servers["mlflow"].runs["run0"]] == ["begin", 0, "begin", 1, 2, "score", "FINISHED"]


def test_a_server_that_does_not_answer_is_not_waited_for(
    begin: Begin, servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "CLOSING_S", 0.2)
    servers["mlflow"].answers.clear()
    noting, start = Noting(), time.monotonic()
    try:
        train(begin(progress=noting), ("mlflow",), 0, 1)
        assert time.monotonic() - start < 5
        assert [note.partition(":")[0] for note in noting.notes] == ["Kept does not answer"]
    finally:
        servers["mlflow"].answers.set()


@pytest.mark.parametrize(
    ("fault", "end"),
    [(Stopped("by Ctrl-C"), "KILLED"), (KeyboardInterrupt(), "KILLED"), (ValueError("ours"), "FAILED")],
)
def test_a_run_says_how_the_training_ended(
    begin: Begin, servers: dict[str, Server], fault: BaseException, end: str
) -> None:
    training = begin()
    with pytest.raises(type(fault)), tracked(training, ("mlflow",)) as told:
        write_history(training.folder, [record(0, 0.5)], ("L1",))
        told.on_epoch(record(0, 0.5))
        raise fault
    assert servers["mlflow"].runs["run0"][-1] == (end,)


def test_without_trackers_nothing_is_done(begin: Begin, servers: dict[str, Server]) -> None:
    training = begin()
    train(training, (), 0)
    assert [path.name for path in training.folder.iterdir()] == ["history.csv"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"run": "a"}', '{"run": 1, "epochs": 1, "scored": 0}', '{"run": "a", "epochs": -1, "scored": 0}'],
)
def test_what_was_sent_is_not_known_of_a_damaged_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tracked_by_mlflow.json"
    path.write_text(text)
    assert Sent.read(path) == Sent() == Sent.read(tmp_path / "none.json")


def test_scores_are_those_of_the_mean_and_of_classes() -> None:
    half = np.zeros((2, 4, 4), np.uint8)
    half[:, :2] = 1
    metrics = score_cases([("patient 7", half, half, (1.0, 1.0, 1.0))], (("L1", 1), ("L2", 2))).to_json()
    numbers = score_numbers(metrics)
    assert numbers["scores/dice"] == numbers["scores/L1/dice"] == 1.0
    assert "scores/L2/dice" not in numbers  # no case has it
    assert "patient" not in repr(numbers)


def test_nested_tables_become_dotted_keys() -> None:
    table = {"patch": [8, 16], "network": {"features": [4, 8], "bottleneck": None}, "batch": 2}
    assert flat(table) == {"patch": "[8, 16]", "network.features": "[4, 8]", "batch": 2}


def test_a_training_that_was_stopped_goes_on_in_its_run_and_ends_with_its_scores(
    run: RunFolder, toy_dataset: Path, servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospine.workflow.train.check_trackers", lambda names: None)
    request = TrainRequest("2d", epochs=2, device="cpu", workers=0, track=("mlflow",))
    with pytest.raises(Stopped):
        train_fold(toy_dataset, 0, run, request, progress=Stopping(0, 3))
    server = servers["mlflow"]
    assert [epoch for epoch, *_ in server.runs["run0"]] == ["begin", 0, "KILLED"]
    trained = train_fold(toy_dataset, 0, run, request)
    assert [epoch for epoch, *_ in server.runs["run0"]][3:] == ["begin", 1, "score", "FINISHED"]
    assert trained.metrics is not None
    (score,) = [event for event in server.runs["run0"] if event[0] == "score"]
    assert score[2]["scores/dice"] == trained.metrics["mean"]["dice"]  # type: ignore[index]
    about, sent = server.told[0], repr(server.runs)
    assert (about.name, about.group, about.settings["dataset"]) == ("toy/2d/fold_0", "toy/2d", "toy")
    assert about.settings["training.epochs"] == 2 and about.settings["network.features"] == "[4, 8]"
    for private in ("toy_0", str(run.root), str(toy_dataset)):
        assert private not in sent + repr(dict(about.settings)) + about.name
    written = read_record(trained.folder)
    assert written is not None and written["flags"]["track"] == ["mlflow"]


def test_the_run_of_an_arm_is_called_by_its_study(run: RunFolder, begin: Begin) -> None:
    home = RunFolder(run.root / "studies" / "ablation" / "msff", lender=run.root)
    arm = Training(home, run.read_plan(), begin().task, begin().identity, home.fold("2d", 1), (), "begins", torch.device("cpu"), Noting())  # noqa: E501  # fmt: skip
    assert tracking.about_run(arm).name == "toy/studies/ablation/msff/2d/fold_1"


def test_a_pretraining_is_tracked_too(
    run: RunFolder, toy_dataset: Path, servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospine.workflow.pretrain.check_trackers", lambda names: None)
    write_json(run.fingerprint, extract_fingerprint(open_dataset(toy_dataset)).to_json())
    request = PretrainRequest("2d", 0, device="cpu", workers=0, track=("mlflow",))
    pretrain_images([toy_dataset], toy_dataset, run, request)
    assert servers["mlflow"].told[0].name == "toy/pretrained/2d_fold_0"
    begun, (epoch, numbers), *rest = servers["mlflow"].runs["run0"]
    assert (begun, epoch, rest) == (("begin", 0), 0, [("score", 0, {}, None), ("FINISHED",)])
    assert {"step", "seconds", "learning_rate", "train_loss"} <= set(numbers)  # type: ignore[call-overload]
