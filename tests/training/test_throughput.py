from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from autospine.machine.precision import pinned
from autospine.planning.document.configuration import Configuration
from autospine.training import throughput
from autospine.training.throughput import seconds_per_step
from tests.cards import card_of
from tests.training.kinds import kinds, sized_card

CPU = torch.device("cpu")


def clock_of(took: Iterator[float]) -> Callable[[], float]:
    """A clock that is read at the beginning and the end of each step; the steps take so long."""
    now, reads = [0.0], itertools.count()

    def read() -> float:
        if next(reads) % 2:
            now[0] += next(took)
        return now[0]

    return read


@pytest.mark.parametrize("kind", ["2d", "2.5d", "3d_fullres", "3d_cascade_fullres"])
def test_every_configuration_can_be_timed(make_configuration: Callable[..., Configuration], kind: str) -> None:
    configuration = make_configuration(**({"spacing_mm": (1.0, 1.0)} if kind in ("2d", "2.5d") else {}))
    network = configuration.network
    if kind == "2.5d":
        configuration = replace(configuration, neighbours=1, network=replace(network, in_channels=3))
    if kind == "3d_cascade_fullres":
        configuration = replace(configuration, previous="3d_lowres", network=replace(network, in_channels=4))
    assert 0 < seconds_per_step(card_of(configuration), CPU, at_least_s=0.0) < 5


@pytest.fixture(autouse=True)
def float32() -> Iterator[None]:
    """Nothing but the steps reads the clock."""
    with pinned("float32"):
        yield


def test_the_quickest_look_counts_by_its_median_and_the_warm_up_does_not(
    make_configuration: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a first step of 0.5 s, then three looks of three steps with the medians 5, 2 and 3 s
    took = iter([0.5, 5.0, 7.0, 4.0, 1.0, 2.0, 9.0, 3.0, 4.0, 3.0, 100.0])
    monkeypatch.setattr(throughput.time, "perf_counter", clock_of(took))
    assert seconds_per_step(card_of(make_configuration()), CPU, at_least_s=38.0) == 2.0
    assert list(took) == [100.0]


@pytest.mark.parametrize("begins", [0, 1, 12, 38])
def test_a_busy_second_is_not_taken_for_the_machine(
    make_configuration: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch, begins: int
) -> None:
    """Steps of 0.05 s take half a second, for a second, wherever it begins."""
    took = iter([0.05] * begins + [0.5, 0.5] + [0.05] * 200)
    monkeypatch.setattr(throughput.time, "perf_counter", clock_of(took))
    assert seconds_per_step(card_of(make_configuration()), CPU) == pytest.approx(0.05)


@pytest.mark.parametrize(("bounds", "found"), [((3.0, 6.0), 0.25), ((0.1, 0.2), 0.25), ((0.2, 0.8), 0.3125)])
def test_a_first_look_ends_the_measurement_of_what_is_surely_slow_or_fast(
    make_configuration: Callable[..., Configuration],
    monkeypatch: pytest.MonkeyPatch,
    bounds: tuple[float, float],
    found: float,
) -> None:
    """The first step takes 0.4 s and counts for nothing, the look 0.375 and 0.25 s; then come steps of 0.3125 s."""
    took = iter([0.4, 0.375, 0.25, *[0.3125] * 20])
    monkeypatch.setattr(throughput.time, "perf_counter", clock_of(took))
    assert seconds_per_step(card_of(make_configuration()), CPU, bounds_s=bounds) == pytest.approx(found)


def test_too_little_memory_is_an_infinite_time(
    make_configuration: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raising(error: Exception) -> Callable[..., None]:
        def full(*_: object) -> None:
            raise error

        return full

    on_a_cpu = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
    for error in (torch.OutOfMemoryError(), on_a_cpu):
        monkeypatch.setattr(throughput.Stepper, "step", raising(error))
        assert math.isinf(seconds_per_step(card_of(make_configuration()), CPU))
    monkeypatch.setattr(throughput.Stepper, "step", raising(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        seconds_per_step(card_of(make_configuration()), CPU)


@pytest.mark.parametrize(("bounds", "found"), [((3.0, 6.0), 8.0), ((9.0, 12.0), 8.0), ((5.0, 8.0), 5.0)])
def test_one_step_of_seconds_is_a_look(
    make_configuration: Callable[..., Configuration],
    monkeypatch: pytest.MonkeyPatch,
    bounds: tuple[float, float],
    found: float,
) -> None:
    """The very first, unless it is too near to what is asked; then there are three of one step each."""
    monkeypatch.setattr(throughput.time, "perf_counter", clock_of(iter([8.0, 5.0, 5.0, 5.0])))
    assert seconds_per_step(card_of(make_configuration()), CPU, bounds_s=bounds) == pytest.approx(found)


def test_a_first_look_at_short_steps_takes_more_of_them(
    make_configuration: Callable[..., Configuration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hiccup of 0.25 s among steps of 0.01 s ends nothing."""
    took = iter([0.4, 0.25, *[0.01] * 500])
    monkeypatch.setattr(throughput.time, "perf_counter", clock_of(took))
    assert seconds_per_step(card_of(make_configuration()), CPU, bounds_s=(0.02, 0.1)) == pytest.approx(0.01)
    assert len(list(took)) > 490


@pytest.mark.parametrize("kind", ["2d", "2.5d", "3d", "cascade"])
def test_components_can_be_timed(
    make_configuration: Callable[..., Configuration], quick: Configuration, kind: str
) -> None:
    card = sized_card(kinds(make_configuration, quick)[kind])
    training = replace(card.configuration.training, foreground_unit="component")
    card = replace(card, configuration=replace(card.configuration, training=training))
    assert 0 < seconds_per_step(card, CPU, at_least_s=0.0) < 5
