from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Expected
from autospine.planning.estimate.duration import describe_length, spoken, training_seconds

CPU = "CPU, 2 cores, float32"


HERE = Expected(1.0, device=CPU, seconds_per_step=0.5)


@pytest.fixture
def configuration(make_configuration: Callable[..., Configuration]) -> Configuration:
    """Ten epochs of ten steps and six validation batches."""
    made = make_configuration()
    return replace(made, training=replace(made.training, validation_steps=6))


def test_a_training_takes_its_steps_and_a_third_of_one_for_each_validation_batch(configuration: Configuration) -> None:
    training = configuration.training
    assert training_seconds(training, HERE) == pytest.approx(10 * (10 + 2) * 0.5)
    assert training_seconds(training, HERE, CPU) == training_seconds(training, HERE)
    assert describe_length(configuration, HERE, CPU, "") == (f"10 epochs, 100 steps: about 60 s on {CPU}",)


def test_a_budget_is_what_it_takes(configuration: Configuration) -> None:
    by_clock = replace(configuration, training=replace(configuration.training, budget_s=1800.0))
    assert training_seconds(by_clock.training, HERE, "elsewhere") == 1800.0
    assert describe_length(by_clock, HERE, CPU, "") == ("30 min by the clock",)


def test_the_time_of_another_device_says_nothing(configuration: Configuration) -> None:
    training = configuration.training
    assert training_seconds(training, HERE, "NVIDIA H100, bfloat16") is None
    (said,) = describe_length(configuration, HERE, "NVIDIA H100, bfloat16", "")
    assert "not known" in said
    assert training_seconds(training, Expected(1.0)) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (45.0, "45 s"), (100.0, "2 min"), (1740.0, "29 min"), (12600.0, "3.5 h"), (39600.0, "11 h"),
     (172799.0, "48 h"), (1.1e6, "13 days")],
)  # fmt: skip
def test_an_estimate_is_said_as_far_as_it_is_known(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


def test_more_than_a_day_on_a_cpu_is_warned_of(configuration: Configuration) -> None:
    training = replace(configuration.training, epochs=1000, steps_per_epoch=250, validation_steps=0)
    long = replace(configuration, training=training)
    # 250 000 steps of 4 s are 11.6 days
    slow = replace(HERE, seconds_per_step=4.0)
    _, text = describe_length(long, slow, CPU, "autospine plan spines --budget 30m --overwrite")
    assert "about 12 days" in text and "`autospine plan spines --budget 30m --overwrite`" in text
    assert len(describe_length(long, replace(HERE, seconds_per_step=0.3), CPU, "")) == 1
    assert len(describe_length(long, replace(slow, device="NVIDIA H100"), "NVIDIA H100", "")) == 1
