from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.parts import TrainingPlan
from autospine.training.schedule import Schedule, build_optimiser


@pytest.fixture
def training(make_configuration: Callable[..., Configuration]) -> TrainingPlan:
    """10 epochs of 100 steps at rate 0.01."""
    return replace(make_configuration().training, steps_per_epoch=100)


def test_steps_decide_without_a_budget(training: TrainingPlan) -> None:
    schedule = Schedule(training)
    assert training.steps == 1000
    assert schedule.progress(250, seconds=1e9) == 0.25
    assert schedule.progress(1000, seconds=0.0) == 1.0


def test_seconds_decide_with_a_budget(training: TrainingPlan) -> None:
    schedule = Schedule(replace(training, budget_s=60.0))
    assert schedule.progress(10**9, seconds=15.0) == 0.25
    assert schedule.progress(1, seconds=61.0) == 1.0


def test_rate_decays_as_the_polynomial(training: TrainingPlan) -> None:
    schedule = Schedule(training)
    assert schedule.learning_rate(0.0) == 0.01
    assert schedule.learning_rate(0.5) == pytest.approx(0.01 * 0.5**0.9)
    assert schedule.learning_rate(1.0) == 0.0


def test_warm_up_rises_to_the_peak_and_the_decay_starts_there(training: TrainingPlan) -> None:
    schedule = Schedule(replace(training, warmup=0.1))
    assert schedule.learning_rate(0.0) == pytest.approx(0.0001)
    assert schedule.learning_rate(0.05) == pytest.approx(0.005)
    assert schedule.learning_rate(0.1) == pytest.approx(0.01)
    assert schedule.learning_rate(0.55) == pytest.approx(0.01 * 0.5**0.9)


def test_optimisers_carry_the_plans_numbers(training: TrainingPlan) -> None:
    network = torch.nn.Linear(2, 2)
    sgd = build_optimiser(network, training)
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.99, True, 3e-5)
    adamw = build_optimiser(network, replace(training, optimiser="adamw", weight_decay=0.01))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.01
