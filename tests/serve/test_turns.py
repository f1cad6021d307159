from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from autospine.serve.refusals import RequestError
from autospine.serve.turns import Turns


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns(2)
    yield made
    made.close()


def test_one_at_a_time_in_order(turns: Turns) -> None:
    running, most, order = 0, 0, []

    def work(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        order.append(number)
        threading.Event().wait(0.01)
        running -= 1
        return number

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(turns.compute(lambda number=number: work(number)) for number in range(5)))

    assert asyncio.run(all_of_them()) == order == [0, 1, 2, 3, 4]
    assert most == 1 and not turns.computing


def test_who_finds_no_place_is_sent_away_and_places_come_back(turns: Turns) -> None:
    with turns.place(), turns.place():
        with pytest.raises(RequestError) as refused, turns.place():
            pass
        assert refused.value.status == 503 and turns.taken == 2
    assert turns.taken == 0
    with pytest.raises(KeyError), turns.place():
        raise KeyError
    assert turns.taken == 0


def test_what_fails_gives_the_turn_on(turns: Turns) -> None:
    def fail() -> None:
        raise KeyError

    async def both() -> int:
        with pytest.raises(KeyError):
            await turns.compute(fail)
        return await turns.compute(lambda: 3)

    assert asyncio.run(both()) == 3


def test_at_the_end_what_is_computed_is_finished_and_what_waits_is_sent_away(turns: Turns) -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go.wait(10)
        return "done"

    async def ending() -> list[object]:
        tasks = [asyncio.create_task(turns.compute(work)) for _ in range(2)]
        await asyncio.to_thread(begun.wait, 10)
        assert turns.computing
        turns.ended = True
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second = asyncio.run(ending())
    assert first == "done"
    assert isinstance(second, RequestError) and second.status == 503
    with pytest.raises(RequestError), turns.place():
        pass
