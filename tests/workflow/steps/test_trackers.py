"""What each tracker is asked, of the library itself where it is installed, else of a stand-in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autospine.errors import PlanError
from autospine.workflow.steps import trackers
from autospine.workflow.steps.trackers import About, check_trackers, make_tracker


@pytest.fixture
def about(tmp_path: Path) -> About:
    settings: dict[str, str | float] = {f"key{number}": number for number in range(120)}
    return About(tmp_path / "toy" / "2d" / "fold_0", "toy/2d/fold_0", "toy/2d", {**settings, "long": 600 * "x"})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "progress.png"
    Image.fromarray(np.full((4, 6, 3), 200, np.uint8)).save(path)
    return path


class Calls:
    """An object of a library, on which anything can be called: what was, and what it answers."""

    def __init__(self, **answers: Any) -> None:
        self.made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answers = answers

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            self.made.append((name, given, named))
            answer = self.answers.get(name)
            return answer(*given, **named) if callable(answer) else answer

        return call

    def of(self, name: str) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        return [(given, named) for called, given, named in self.made if called == name]


def test_what_is_not_known_or_not_installed_is_told_before_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlanError, match=r"(?s)no such tracker: neptune.*tensorboard, mlflow, wandb"):
        check_trackers(("tensorboard", "neptune"))
    # what wandb itself leaves where it was run: Python would import it
    (tmp_path / "left_by_a_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trackers, "TRACKERS", ("torch", "left_by_a_tracker", "not_there"))
    check_trackers(("torch",))
    with pytest.raises(PlanError, match=r"(?s)not installed: left_by.*pip install left_by_a_tracker not_there"):
        check_trackers(("not_there", "torch", "left_by_a_tracker")[::-1])


def test_tensorboard_shows_what_it_was_given_and_nothing_that_was_lost(about: About, picture: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = make_tracker("tensorboard")
    run = board.begin(about, None, 0)
    for epoch in (0, 1, 2):
        board.log(epoch, {"train_loss": 1.0 - epoch / 4, "dice/L1": 0.5})
    board.close("KILLED")
    board = make_tracker("tensorboard")  # epoch 2 was not written down as sent
    assert board.begin(about, run, 2) == run
    board.log(2, {"train_loss": 0.125})
    board.score(2, {"scores/dice": 0.75}, picture)
    board.close("FINISHED")
    shown = EventAccumulator(str(about.folder / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in shown.Scalars("train_loss")] == [(0, 1.0), (1, 0.75), (2, 0.125)]
    assert [one.step for one in shown.Scalars("dice/L1")] == [0, 1]
    assert [(one.step, one.value) for one in shown.Scalars("scores/dice")] == [(2, 0.75)]
    (image,) = shown.Images("progress")
    assert (image.width, image.height) == (6, 4)
    assert str(about.folder / "tensorboard") in board.where()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """The client of an MLflow that has one experiment, ours."""
    run = SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    found = Calls(create_run=run, get_experiment_by_name=SimpleNamespace(experiment_id=7), create_experiment="8")
    entities, faults = ModuleType("mlflow.entities"), ModuleType("mlflow.exceptions")
    entities.Param = entities.Metric = lambda *given: given  # type: ignore[attr-defined]
    faults.MlflowException = ValueError  # type: ignore[attr-defined]
    mlflow = ModuleType("mlflow")
    mlflow.MlflowClient = lambda: found  # type: ignore[attr-defined]
    for name, module in (("mlflow", mlflow), ("mlflow.entities", entities), ("mlflow.exceptions", faults)):
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"):
        monkeypatch.setenv(name, "true")  # so that it is restored
    yield found


def test_mlflow_is_told_of_a_run_in_pieces_that_it_takes(client: Calls, about: About, picture: Path) -> None:
    tracker = make_tracker("mlflow")
    assert tracker.begin(about, None, 0) == "r1"
    assert client.of("create_run") == [(("7",), {"tags": {"group": "toy/2d"}, "run_name": "toy/2d/fold_0"})]
    told = [named["params"] for _, named in client.of("log_batch")]
    assert [len(some) for some in told] == [100, 21]
    assert told[0][3] == ("key3", "3") and told[1][-1] == ("long", 500 * "x")
    tracker.log(4, {"dice/disc L4/5 (left)": 0.5, "dice/Wirbelkörper": 0.25})
    ((_, named),) = client.of("log_batch")[2:]
    assert [(name, value, step) for name, value, _, step in named["metrics"]] == [
        ("dice/disc L4/5 _left_", 0.5, 4), ("dice/Wirbelkörper", 0.25, 4)
    ]  # fmt: skip
    tracker.score(4, {"scores/dice": 0.75}, picture)
    assert client.of("log_artifact") == [(("r1", str(picture)), {})]
    tracker.close("KILLED")
    assert client.of("set_terminated") == [(("r1", "KILLED"), {})]
    again = make_tracker("mlflow")
    assert again.begin(about, "r1", 5) == "r1"
    assert client.of("update_run") == [(("r1",), {"status": "RUNNING"})] and len(client.of("create_run")) == 1


def test_mlflows_experiment_is_the_users_or_ours(client: Calls, about: About, monkeypatch: pytest.MonkeyPatch) -> None:
    client.answers["get_experiment_by_name"] = None
    make_tracker("mlflow").begin(about, None, 0)
    assert client.of("create_experiment") == [(("autospine",), {})] and client.of("create_run")[-1][0] == ("8",)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "spines")
    # two folds that begin at once: the other makes it first
    answers = iter((None, SimpleNamespace(experiment_id="9")))

    def refuse(name: str) -> str:
        raise ValueError("already exists")

    client.answers |= {"get_experiment_by_name": lambda name: next(answers), "create_experiment": refuse}
    make_tracker("mlflow").begin(about, None, 0)
    assert client.of("create_run")[-1][0] == ("9",)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "3")
    make_tracker("mlflow").begin(about, None, 0)
    assert client.of("create_run")[-1][0] == ("3",)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    ("key", "asked", "mode"), [("", None, "offline"), ("k", None, None), ("k", "disabled", "disabled")]
)
def test_wandb_sends_nothing_by_itself_and_asks_nobody(
    about: About,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    asked: str | None,
    mode: str | None,
    older: bool,
) -> None:
    run = Calls()
    run.__dict__ |= {"id": "w1", "offline": True, "dir": "/there/offline-run/files", "summary": {}}
    wandb = ModuleType("wandb")
    wandb.api, wandb.Settings, wandb.Image = SimpleNamespace(api_key=key), dict, lambda path: ("image", path)  # type: ignore[attr-defined]
    if older:  # asks where it is called
        wandb.login = lambda *, verify: pytest.fail("asked")  # type: ignore[attr-defined]
    else:
        wandb.login = lambda *, prompt, verify: bool(key) and not prompt  # type: ignore[attr-defined]
    begun: list[dict[str, Any]] = []
    wandb.init = lambda **given: begun.append(given) or run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if asked:
        monkeypatch.setenv("WANDB_MODE", asked)
    tracker = make_tracker("wandb")
    assert tracker.begin(about, None, 0) == "w1"
    (first,) = begun
    assert (first["project"], first["name"], first["group"]) == ("autospine", "toy/2d/fold_0", "toy/2d")
    assert first["mode"] == mode and first["config"] == dict(about.settings) and first["dir"] == str(about.folder)
    assert first["settings"]["console"] == "off" and first["settings"]["x_disable_meta"] is True
    tracker.log(3, {"dice/L1": 0.5})
    tracker.score(3, {"scores/dice": 0.75}, picture)
    assert run.of("log") == [
        (({"dice/L1": 0.5},), {"step": 3}),
        (({"progress": ("image", str(picture))},), {"step": 3}),
    ]
    assert run.__dict__["summary"] == {"scores/dice": 0.75}
    assert "wandb sync /there/offline-run" in tracker.where()
    tracker.close("KILLED")
    assert run.of("finish") == [((), {"exit_code": 1})]
    make_tracker("wandb").begin(about, "w1", 4)
    assert (begun[1]["id"], begun[1]["resume"], begun[1]["config"]) == ("w1", "allow", None)
