"""`plan --budget` with a real clock on the toy data set: what is measured, shown and written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from autospine.machine.device import device_names
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.progress import Silent, Update


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
    assert standing == planned.plan
    names = [configuration.name for configuration in standing.configurations]
    assert names == ["2d", "2.5d", "3d_fullres"]
    for configuration in standing.configurations:
        expected = configuration.expected
        assert configuration.training.budget_s == 60.0
        assert expected is not None and expected.device in device_names(torch.device("cpu"))
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
    expected = [configuration.expected for configuration in planned.plan.configurations]
    assert [one and (one.seconds_per_step, one.steps) for one in expected] == [(None, None)] * 3
