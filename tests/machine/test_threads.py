"""How many threads compute a step: fewer where they are faster, and more again where these are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from autospine.machine import threads
from autospine.machine.threads import ThreadTrials, given_threads, quickest, thread_counts


class Machine:
    """A clock that goes on by what a step takes with the threads that were set."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.now = 100.0
        self.seconds = seconds
        self.set = 0

    def run(self, trials: ThreadTrials, steps: int) -> list[int]:
        """With how many threads each step was computed."""
        used = []
        for _ in range(steps):
            trials.before_step()
            used.append(self.set)
            self.now += self.seconds[self.set]
            trials.after_step()
        return used


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    one = Machine({2: 0.09, 1: 0.13})
    monkeypatch.setattr(threads.time, "monotonic", lambda: one.now)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(one, "set", count))
    yield one


def test_numbers_that_are_worth_a_trial() -> None:
    assert thread_counts(1) == (1,)
    assert thread_counts(2) == (2, 1)
    assert thread_counts(4) == (4, 3, 2)
    assert thread_counts(16) == (16, 15, 8)


def test_another_number_has_to_be_clearly_faster() -> None:
    assert quickest({2: [0.31, 0.30, 0.9], 1: [0.13, 0.14, 0.13]}, 2) == 1
    assert quickest({2: [0.10, 0.10, 0.10], 1: [0.095, 0.095, 0.095]}, 2) == 2
    assert quickest({2: [0.10, 0.10, 0.10], 1: [0.105, 0.105, 0.105]}, 1) == 1
    assert quickest({2: [0.09, 0.09, 0.09], 1: [0.13, 0.13, 0.13]}, 1) == 2


def test_threads_follow_what_else_the_machine_does(machine: Machine) -> None:
    trials = ThreadTrials(2, active=True)
    used = machine.run(trials, 1000)
    assert trials.threads == 2 and used[:5] == [2] * 5
    # six steps of a trial, of which three are with one thread, at most every ten seconds
    assert 0 < used.count(1) <= 3 * (1 + (machine.now - 100) / threads.EVERY_S)
    machine.seconds = {2: 0.31, 1: 0.13}  # a neighbour comes
    machine.run(trials, 200)
    assert trials.threads == 1
    machine.seconds = {2: 0.09, 1: 0.13}  # and goes
    machine.run(trials, 200)
    assert trials.threads == 2


def test_trials_take_a_small_share_of_the_time(machine: Machine) -> None:
    machine.seconds = {2: 8.0, 1: 15.0}
    used = machine.run(ThreadTrials(2, active=True), 400)
    lost = used.count(1) * (15.0 - 8.0)
    assert 0 < lost <= threads.SHARE * (machine.now - 100)


def test_a_training_of_epochs_keeps_its_threads(machine: Machine) -> None:
    machine.seconds = {2: 0.31, 1: 0.13, 0: 0.31}
    assert set(machine.run(ThreadTrials(2, active=False), 300)) == {0}  # nobody sets any


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with given_threads() as most:
        assert most == before
        torch.set_num_threads(before + 1)
    assert torch.get_num_threads() == before
