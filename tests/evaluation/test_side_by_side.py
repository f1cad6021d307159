from __future__ import annotations

import threading
import time

import pytest

from autospine.evaluation import side_by_side as module
from autospine.evaluation.side_by_side import Room, side_by_side


@pytest.mark.parametrize("threads", [0, 1, 2, 8])
def test_every_job_is_done_once_and_named_by_its_place(threads: int) -> None:
    jobs = list("abcde")
    found = dict(side_by_side(str.upper, jobs, threads))
    assert [found[place] for place in range(5)] == list("ABCDE")
    assert list(side_by_side(str.upper, [], threads)) == []


def test_jobs_are_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=10)  # one alone would wait for ever
    assert len(list(side_by_side(lambda job: both.wait(), [0, 1], 2))) == 2


def test_what_is_raised_ends_the_work() -> None:
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        time.sleep(0.01)
        return 1 // job

    with pytest.raises(ZeroDivisionError):
        list(side_by_side(work, [0, *range(1, 200)], 2))
    time.sleep(0.1)
    count = len(begun)
    time.sleep(0.1)
    assert len(begun) == count < 100


def test_a_generator_that_is_closed_begins_no_more() -> None:
    begun: list[int] = []
    going = side_by_side(lambda job: (begun.append(job), time.sleep(0.01)), list(range(200)), 2)
    next(going)
    going.close()
    time.sleep(0.1)
    assert len(begun) < 20


def test_cases_wait_for_memory_and_a_large_one_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda: 100)
    room, under_way, most = Room(), [0], [0]
    changing = threading.Lock()

    def work(size: int) -> None:
        with room.taking(size):
            with changing:
                under_way[0] += size
                most[0] = max(most[0], under_way[0])
            time.sleep(0.005)
            with changing:
                under_way[0] -= size

    list(side_by_side(work, [30, 30, 30, 500, 30, 30, 30], 4))
    assert most[0] == 500
    most[0] = 0
    list(side_by_side(work, [30] * 8, 4))
    assert most[0] == 60  # of 80, which are 0.8 of 100
