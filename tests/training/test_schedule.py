from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from autospine.planning.plan import TrainingPlan
from autospine.training.schedule import Schedule, build_optimiser

PLAN = TrainingPlan(
    optimiser="sgd",
    learning_rate=0.01,
    weight_decay=3e-5,
    momentum=0.99,
    warmup=0.0,
    poly_power=0.9,
    clip_norm=12.0,
    epochs=10,
    steps_per_epoch=100,
    validation_steps=5,
    budget_s=None,
    oversample_foreground=0.33,
    mirror_axes=(),
    rotation_deg=30.0,
    rotate_in_plane=False,
    scale_range=(0.7, 1.4),
)


def test_steps_decide_without_a_budget() -> None:
    schedule = Schedule(PLAN)
    assert schedule.steps == 1000
    assert schedule.progress(250, seconds=1e9) == 0.25
    assert schedule.progress(1000, seconds=0.0) == 1.0


def test_seconds_decide_with_a_budget() -> None:
    schedule = Schedule(replace(PLAN, budget_s=60.0))
    assert schedule.progress(10**9, seconds=15.0) == 0.25
    assert schedule.progress(1, seconds=61.0) == 1.0


def test_rate_decays_as_the_polynomial() -> None:
    schedule = Schedule(PLAN)
    assert schedule.learning_rate(0.0) == 0.01
    assert schedule.learning_rate(0.5) == pytest.approx(0.01 * 0.5**0.9)
    assert schedule.learning_rate(1.0) == 0.0


def test_warm_up_rises_to_the_peak_and_the_decay_starts_there() -> None:
    schedule = Schedule(replace(PLAN, warmup=0.1))
    assert schedule.learning_rate(0.0) == pytest.approx(0.0001)
    assert schedule.learning_rate(0.05) == pytest.approx(0.005)
    assert schedule.learning_rate(0.1) == pytest.approx(0.01)
    assert schedule.learning_rate(0.55) == pytest.approx(0.01 * 0.5**0.9)


def test_optimisers_carry_the_plans_numbers() -> None:
    network = torch.nn.Linear(2, 2)
    sgd = build_optimiser(network, PLAN)
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.99, True, 3e-5)
    adamw = build_optimiser(network, replace(PLAN, optimiser="adamw", weight_decay=0.01))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.param_groups[0]["weight_decay"] == 0.01
