"""What a training takes is said by plan and train, and a CPU is planned for half an hour unless told otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path

import pytest
import torch

from autospine.errors import PlanError
from autospine.machine.device import describe_device, device_names
from autospine.planning.document.configuration import Configuration
from autospine.planning.estimate.expected import renew_expected
from autospine.workflow.plan import PlanRequest, ensure_planned, plan_dataset
from autospine.workflow.progress import Silent, Update
from autospine.workflow.steps import timing
from autospine.workflow.train import TrainRequest, train_fold
from tests.workflow.conftest import Noting

CPU = PlanRequest(device="cpu")


def clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[Configuration]:
    """Let a step of any configuration take so long; what is measured is listed."""
    timed: list[Configuration] = []

    def measure(configuration: Configuration, bounds: tuple[float, float]) -> float:
        timed.append(configuration)
        return seconds

    monkeypatch.setattr(timing, "_measure", lambda data, device, **_: measure)
    return timed


DEVICE = describe_device(torch.device("cpu"), "float32")


def test_a_cpu_is_planned_for_half_an_hour(toy_dataset: Path, tmp_path: Path, steady: None) -> None:
    planned = plan_dataset(toy_dataset, tmp_path, CPU)
    device = DEVICE
    for configuration in planned.plan.configurations:
        training, expected = configuration.training, planned.expected[configuration.name]
        assert training.budget_s is None
        assert (expected.device, expected.seconds_per_step, expected.steps) == (device, 0.01, training.steps)
        # nine tenths of 1800 s, in steps of 0.01 s, up to a whole epoch
        assert 162_000 <= training.steps < 162_000 + training.steps_per_epoch
        reason = planned.plan.reasons[f"{configuration.name}.training.epochs"]
        assert "planned for 30 min" in reason and "0.905 in 30 min" in reason and "--epochs" in reason
        assert f"{configuration.name}.training.budget_s" not in planned.plan.reasons
    assert planned.folder.read_plan() == planned.plan
    (said,) = planned.notes
    assert said.startswith("A training of 3d_fullres: 30 epochs, 162000 steps: about 27 min on CPU")
    # the plan that stands says it again
    assert plan_dataset(toy_dataset, tmp_path, CPU).notes == (said,)


def test_without_a_measurement_the_clock_stays(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many epochs fit is not known where no step could be timed."""
    clock(monkeypatch, inf)
    for configuration in plan_dataset(toy_dataset, tmp_path, CPU).plan.configurations:
        assert configuration.training.budget_s == 1800.0


def test_a_plan_of_an_earlier_format_is_made_again_as_it_was_asked(
    toy_dataset: Path, tmp_path: Path, steady: None
) -> None:
    run = plan_dataset(toy_dataset, tmp_path, PlanRequest(device="cpu", epochs=3, memory_gb=4.0)).folder
    run.plan.write_text(run.plan.read_text().replace("schema = 7", "schema = 6"))
    with pytest.raises(PlanError, match="key schema") as fault:
        run.read_plan()
    command = f"autospine plan DATASET --memory 4GB --epochs 3 --device cpu --runs {tmp_path} --overwrite"
    assert fault.value.remedy == f"plan again with `{command}`"


def test_a_cpu_that_is_too_slow_for_the_rules_gets_a_narrower_network(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, 1.0)
    narrowed = plan_dataset(toy_dataset, tmp_path / "auto", CPU).plan.configuration("2d")
    by_rule = plan_dataset(toy_dataset, tmp_path / "named", PlanRequest(device="cpu", epochs=1000)).plan
    assert narrowed.network.features[0] < by_rule.configuration("2d").network.features[0] == 32
    assert narrowed.training.steps == pytest.approx(1620, abs=narrowed.training.steps_per_epoch)


def test_epochs_take_the_place_of_the_time(toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = clock(monkeypatch, 4.0)
    wanted = PlanRequest(device="cpu", epochs=1000)
    planned = plan_dataset(toy_dataset, tmp_path, wanted)
    assert [one.training.epochs for one in planned.plan.configurations] == [1000] * 3
    assert planned.plan.reasons["2d.training.epochs"] == "--epochs says so"
    assert planned.plan.configuration("2d").training.optimiser == "sgd"
    few = plan_dataset(toy_dataset, tmp_path / "few", PlanRequest(device="cpu", epochs=6)).plan
    assert few.configuration("2d").training.optimiser == "adamw"
    assert "a short schedule (1500 steps" in few.reasons["2d.training.optimiser"]
    assert {one.name for one in timed} == {"3d_fullres"} and len(
        timed
    ) == 2  # a step of what is trained first, each time
    length, warning = planned.notes
    assert length.startswith("A training of 3d_fullres: 1000 epochs, 250000 steps: about 12 days on CPU")
    command = f"autospine plan {toy_dataset} --budget 30m --device cpu --runs {tmp_path} --overwrite"
    assert f"`{command}`" in warning
    with pytest.raises(PlanError, match="another --epochs"):
        plan_dataset(toy_dataset, tmp_path, CPU)


def test_a_recipe_that_says_how_long_is_believed(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock(monkeypatch, 4.0)
    plan = plan_dataset(toy_dataset, tmp_path, PlanRequest(str(toy_recipe), device="cpu")).plan
    assert {(one.training.epochs, one.training.steps_per_epoch) for one in plan.configurations} == {(2, 4)}
    assert "the recipe toy" in plan.reasons["2d.training.epochs"]


def test_on_a_gpu_one_step_is_timed_and_nothing_narrowed(
    toy_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = clock(monkeypatch, 0.16)
    real = timing.hardware_of("cpu")
    gpu = timing.Hardware("NVIDIA H100, bfloat16", ("NVIDIA H100, bfloat16",), "cuda", 80.0, 80.0, real.machine)
    monkeypatch.setattr(timing, "_timed_on", lambda device: lambda configuration: (gpu.device, gpu.machine))
    monkeypatch.setattr(timing, "hardware_of", lambda name: gpu)
    monkeypatch.setattr("autospine.workflow.plan.hardware_of", lambda name: gpu)
    monkeypatch.setattr(timing.Hardware, "is_usable", True)
    planned = plan_dataset(toy_dataset, tmp_path, PlanRequest())
    assert [one.training.epochs for one in planned.plan.configurations] == [1000] * 3
    assert len(timed) == 1
    # 1000 x (250 + 50 / 3) x 0.16 s
    assert planned.notes[0].endswith("250000 steps: about 12 h on NVIDIA H100, bfloat16")


def test_a_moved_plan_keeps_its_schedule(toy_dataset: Path, toy_recipe: Path, tmp_path: Path, steady: None) -> None:
    source = plan_dataset(toy_dataset, tmp_path / "a", PlanRequest(str(toy_recipe), device="cpu"))
    moved = plan_dataset(toy_dataset, tmp_path / "b", PlanRequest(device="cpu", source=source.folder.plan))
    assert moved.plan.configuration().training == source.plan.configuration().training
    with pytest.raises(PlanError, match=r"--epochs beside --from[\s\S]*--epochs of its own"):
        plan_dataset(toy_dataset, tmp_path / "c", PlanRequest(device="cpu", source=source.folder.plan, epochs=3))


def test_train_says_beforehand_how_long_it_will_take(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, steady: None
) -> None:
    run = plan_dataset(toy_dataset, tmp_path, PlanRequest(str(toy_recipe), device="cpu")).folder
    device, progress = DEVICE, Noting()
    train_fold(toy_dataset, 0, tmp_path, TrainRequest(device="cpu", workers=0), progress=progress)
    # 2 x (4 + 1 / 3) x 0.01 s
    place = progress.notes.index(f"Training 3d_fullres, fold 0, on {device}")
    assert progress.notes[place + 1] == f"2 epochs, 8 steps: about 1 s on {device}"
    progress.notes.clear()
    train_fold(toy_dataset, 1, tmp_path, TrainRequest(device="cpu", workers=0, epochs=1), progress=progress)
    assert f"1 epoch, 4 steps: about 1 s on {device}" in progress.notes
    # few steps of an edited plan are trained, many are timed first
    run.plan.write_text(run.plan.read_text().replace("\nbatch = 2\n", "\nbatch = 1\n"))
    progress.notes.clear()
    train_fold(toy_dataset, 2, tmp_path, TrainRequest(device="cpu", workers=0, overwrite=True), progress=progress)
    assert any("no step was timed there" in note for note in progress.notes)


def test_an_edited_plan_of_many_steps_is_timed_before_it_is_trained(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, steady: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospine.training.throughput.seconds_per_step", lambda *_, **__: 30.0)
    run = plan_dataset(toy_dataset, tmp_path, PlanRequest(str(toy_recipe), device="cpu")).folder
    text = run.plan.read_text().replace("features = [4, ", "features = [5, ").replace("epochs = 2", "epochs = 1000")
    run.plan.write_text(text)
    plan, progress = run.read_plan(), Noting()
    # 1000 x (4 + 1 / 3) x 30 s are 36 h
    expected, _ = renew_expected(plan.configuration("2d"), run.read_expected()["2d"])
    notes = timing.training_notes(plan.card("2d"), expected, torch.device("cpu"), DEVICE, "plan for less", progress)
    assert "1000 epochs, 4000 steps: about 36 h on CPU" in notes[0]
    assert "`plan for less`" in notes[1]


def test_a_training_that_plans_first_plans_for_its_epochs(toy_dataset: Path, tmp_path: Path, steady: None) -> None:
    run = ensure_planned(toy_dataset, tmp_path, TrainRequest(device="cpu", epochs=3).planning, Noting())
    assert {one.training.epochs for one in run.read_plan().configurations} == {3}
    assert json.loads(run.request.read_text())["epochs"] == 3


# -- with a real clock


class Listening(Silent):
    """Keeps what the task of measuring showed."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, float]] = []

    @contextmanager
    def task(self, title: str) -> Iterator[Update]:
        measuring = title.startswith("Measuring")

        def update(text: str, share: float) -> None:
            if measuring:
                self.shown.append((text, share))

        yield update


def test_a_budget_is_measured_shown_and_written(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    progress = Listening()
    wanted = PlanRequest(str(toy_recipe), budget_s=60.0, device="cpu")
    planned = plan_dataset(toy_dataset, tmp_path, wanted, progress=progress)
    standing = planned.folder.read_plan()
    assert standing == planned.plan and planned.folder.read_expected() == planned.expected
    names = [configuration.name for configuration in standing.configurations]
    assert names == ["2d", "2.5d", "3d_fullres"]
    for configuration in standing.configurations:
        expected = planned.expected[configuration.name]
        assert configuration.training.budget_s == 60.0
        assert expected.device in device_names(torch.device("cpu"))
        assert expected.seconds_per_step is not None and expected.steps is not None
        assert expected.steps == pytest.approx(0.9 * 60.0 / expected.seconds_per_step, rel=0.02, abs=1)
    shares = [share for _, share in progress.shown]
    assert shares == sorted(shares)
    assert 0 < shares[0] and shares[-1] < 1
    assert [name for name in names if any(text.startswith(f"{name}: ") for text, _ in progress.shown)] == names
    assert all(text.endswith(" s a step") for text, _ in progress.shown)


def test_a_device_that_is_too_small_is_said(
    toy_dataset: Path, toy_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autospine.training import throughput

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(throughput.Stepper, "step", full)
    progress = Listening()
    planned = plan_dataset(
        toy_dataset, tmp_path, PlanRequest(str(toy_recipe), budget_s=60.0, device="cpu"), progress=progress
    )
    assert {text.split(": ")[-1] for text, _ in progress.shown} == {"the device's memory is too small"}
    assert [(one.seconds_per_step, one.steps) for one in planned.expected.values()] == [(None, None)] * 3
