from __future__ import annotations

import pytest
import torch

from autospine.errors import DeviceError, PlanError
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.request import enough_memory, fold_numbers, requested


def test_folds_by_number_or_all(run: RunFolder) -> None:
    assert (
        fold_numbers("all", run) == (0, 1, 2)
        and fold_numbers("1", run) == (1,)
        and fold_numbers("full", run) == ("full",)
    )
    for text in ("3", "-1", "first"):
        with pytest.raises(PlanError, match="a number from 0 to 2, all, or full"):
            fold_numbers(text, run)


def test_another_time_takes_the_place_of_the_plans(run: RunFolder) -> None:
    plan = run.read_plan()
    assert requested(plan, None, None, None) == plan.card()
    timed = requested(plan, None, 60.0, None).configuration.training
    assert (timed.budget_s, timed.epochs) == (60.0, plan.configuration().training.epochs)
    counted = requested(plan, plan.default, None, 7).configuration.training
    assert (counted.budget_s, counted.epochs) == (None, 7)
    with pytest.raises(PlanError):
        requested(plan, "4d", None, None)


def test_too_little_memory_is_said_of_the_device() -> None:
    with pytest.raises(DeviceError, match="not enough memory for this plan"), enough_memory(torch.device("cpu")):
        raise torch.cuda.OutOfMemoryError("out of memory")
    with pytest.raises(RuntimeError, match="another"), enough_memory(torch.device("cpu")):
        raise RuntimeError("another")
