"""A training that is far from its plan's pace says so once, after a minute, with the command that plans anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospine.machine.device import describe_device
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expected, write_expected
from autospine.planning.estimate.duration import spoken
from autospine.training import epochs
from autospine.training.progress import FitProgress
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.progress import Silent
from autospine.workflow.runs.plan_command import replan_command
from autospine.workflow.steps.pace import shown, watch_feeding, watch_pace
from autospine.workflow.train import TrainRequest, train_fold

DEVICE = "CPU, 2 cores, float32"
EXPECTED = Expected(memory_gb=2.0, device=DEVICE, seconds_per_step=0.1, steps=16200)
Make = Callable[..., Configuration]


def states(step_s: float, until_s: float, before_s: float = 0.0) -> Iterator[FitProgress]:
    """What a call says that makes steps of `step_s` for `until_s`, after an earlier one of `before_s`."""
    step, here_s = round(before_s / step_s), 0.0
    while here_s < until_s:
        step, here_s = step + 1, here_s + step_s
        yield FitProgress(0.0, step, before_s + here_s, None, None, here_s, step_s)


def told(make_configuration: Make, budget_s: float | None, found: Iterator[FitProgress], **more: object) -> list[str]:
    notes: list[str] = []
    training = replace(make_configuration().training, budget_s=budget_s)
    asked = {"expected": EXPECTED, "device": DEVICE, "command": "COMMAND", **more}
    watch = watch_pace(asked["expected"], training, asked["device"], asked["command"], notes.append)  # type: ignore[arg-type]
    for state in found:
        watch(state)
    return notes


def test_a_slow_training_says_so_once(make_configuration: Make) -> None:
    # 150 steps by then; 1740 s are left for 4350 more, where the plan has 16200
    assert told(make_configuration, 1800.0, states(0.4, 200.0)) == [
        "A step takes 0.4 s, 4.0 times as long as the plan expects (0.1 s): about 4500 steps in this time instead of "
        "16200. Something else may be using this machine; if that is to stay, stop here (Ctrl-C), plan anew with "
        "`COMMAND` and train with --overwrite"
    ]


def test_a_fast_training_says_so(make_configuration: Make) -> None:
    assert told(make_configuration, 1800.0, states(0.05, 200.0)) == [
        "A step takes 0.05 s where the plan expects 0.1 s: this machine could train a richer plan in that time. "
        "To plan anew: COMMAND"
    ]


def test_a_plan_that_no_time_was_asked_for_is_not_planned_anew_for_its_pace(make_configuration: Make) -> None:
    unfitted = {"expected": replace(EXPECTED, steps=None)}
    assert told(make_configuration, None, states(0.05, 200.0), **unfitted) == []
    steps = make_configuration().training.steps
    # 150 steps by then, each of 0.4 s where 0.1 s were expected
    left = spoken((steps - 150) * 0.4), spoken((steps - 150) * 0.1)
    assert told(make_configuration, None, states(0.4, 200.0), **unfitted) == [
        "A step takes 0.4 s, 4.0 times as long as the plan expects (0.1 s): "
        f"about {left[0]} to go instead of {left[1]}. Something else may be using this machine"
    ]


def test_where_nothing_plans_anew_no_command_is_named(make_configuration: Make) -> None:
    (slow,) = told(make_configuration, 1800.0, states(0.4, 200.0), command=None)
    assert slow.endswith("Something else may be using this machine")
    assert told(make_configuration, 1800.0, states(0.05, 200.0), command=None) == []


@pytest.mark.parametrize("step_s", [0.07, 0.1, 0.14])
def test_the_moods_of_a_machine_are_not_spoken_of(make_configuration: Make, step_s: float) -> None:
    assert told(make_configuration, 1800.0, states(step_s, 200.0)) == []


@pytest.mark.parametrize(("budget_s", "after_s"), [(1800.0, 60.0), (None, 60.0), (200.0, 10.0)])
def test_a_minute_or_a_twentieth_of_a_short_budget_is_waited_for(
    make_configuration: Make, budget_s: float | None, after_s: float
) -> None:
    assert told(make_configuration, budget_s, states(0.5, after_s - 1.0)) == []
    assert len(told(make_configuration, budget_s, states(0.5, after_s + 1.0))) == 1


def test_a_resumed_training_is_judged_by_its_own_steps(make_configuration: Make) -> None:
    assert told(make_configuration, 1800.0, states(0.4, 50.0, before_s=600.0)) == []
    (note,) = told(make_configuration, 1800.0, states(0.4, 100.0, before_s=600.0))
    assert "about 4500 steps" in note


@pytest.mark.parametrize(
    "more",
    [{"device": "H100, bfloat16"}, {"expected": Expected(2.0)}, {"expected": replace(EXPECTED, seconds_per_step=None)}],
)
def test_without_an_expectation_for_this_device_nothing_is_said(
    make_configuration: Make, more: dict[str, object]
) -> None:
    assert told(make_configuration, 1800.0, states(4.0, 200.0), **more) == []


@pytest.mark.parametrize(
    ("budget_s", "request_json", "words"),
    [
        (1800.0, {}, "autospine plan 'my data' --budget 30m --runs {runs} --overwrite"),
        (
            1800.0,
            {"recipe": "mine", "recipe_file": "/r/mine.toml"},
            "autospine plan 'my data' --recipe /r/mine.toml --budget 30m --runs {runs} --overwrite",
        ),
        # what was moved from other data, or made by no command, is planned anew by none
        (1800.0, {"source": "0123"}, None),
        (1800.0, None, None),
        (
            90.0,
            {"recipe": "lumbar", "memory_gb": 8.0, "device": "cpu", "subjects": "(s-[0-9]+)", "allow_missing": True},
            "autospine plan 'my data' --recipe lumbar --memory 8GB --subjects '(s-[0-9]+)' --budget 90s --device cpu "
            "--allow-missing --runs {runs} --overwrite",
        ),
        (None, {"recipe": "default", "device": "auto"}, "autospine plan 'my data' --runs {runs} --overwrite"),
    ],
)
def test_the_command_asks_as_the_plan_was_asked(
    tmp_path: Path, budget_s: float | None, request_json: dict[str, object] | None, words: str | None
) -> None:
    expected = None if words is None else words.format(runs=tmp_path)
    assert replan_command(Path("my data"), tmp_path, request_json, budget_s) == expected


def test_train_notes_the_pace(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock is 5 s later: far more than the 0.5 s that the plan expects."""

    class Listening(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    class Ticking:
        def __init__(self, seconds: float) -> None:
            self._seconds = seconds

        @property
        def seconds(self) -> float:
            self._seconds += 5.0
            return self._seconds

    run = plan_dataset(toy_dataset, tmp_path / "runs", PlanRequest(str(toy_recipe), device="cpu")).folder
    name = describe_device(torch.device("cpu"))
    known = run.read_expected()
    timed = replace(known["2d"], device=name, seconds_per_step=0.5, steps=8)
    write_expected(run.expected, {**known, "2d": timed})
    monkeypatch.setattr(epochs, "Clock", Ticking)
    progress = Listening()
    train_fold(toy_dataset, 0, tmp_path / "runs", TrainRequest("2d", device="cpu", workers=0), progress=progress)
    (note,) = [note for note in progress.notes if note.startswith("A step takes ")]
    assert "30.0 times as long as the plan expects (0.5 s)" in note
    assert f"--recipe {toy_recipe} --device cpu --runs {tmp_path / 'runs'} --overwrite`" in note


def test_a_gpu_that_waits_for_its_batches_says_so_once() -> None:
    notes, texts = list[str](), list[str]()
    for device in ("cpu", "cuda"):
        watch = shown(lambda text, share: texts.append(text), watch_feeding(device, notes.append))
        for waiting in (None, 0.04, 0.34, 0.34):
            watch(FitProgress(0.1, 7, 3.0, None, None, waiting=waiting))
    assert texts[:3] == ["step 7", "step 7, 4% of the time for batches", "step 7, 34% of the time for batches"]
    assert notes == [
        "The GPU waited for batches for 34% of the epoch: more processes would feed it faster (--workers), as far as "
        "this machine has cores for them"
    ]
