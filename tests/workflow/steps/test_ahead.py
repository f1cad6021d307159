"""The next thing is fetched, and the last one put away, in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from autospine.workflow.steps import ahead
from autospine.workflow.steps.ahead import Behind, one_ahead


def test_one_is_made_while_the_present_one_is_used_and_no_more() -> None:
    made: list[int] = []
    moved = threading.Condition()

    def source() -> Iterator[int]:
        for number in range(4):
            with moved:
                made.append(number)
                moved.notify()
            yield number

    for number in one_ahead(source()):
        if number < 3:
            with moved:
                assert moved.wait_for(lambda wanted=number + 1: wanted in made, 30)
        assert made == list(range(min(4, number + 2)))
    assert made == [0, 1, 2, 3]


def test_what_the_source_raises_comes_in_its_turn() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("no second")

    got = one_ahead(source())
    assert next(got) == 1
    with pytest.raises(ValueError, match="no second"):
        next(got)


def test_closing_waits_for_what_is_under_way_and_begins_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def source() -> Iterator[int]:
        for number in range(9):
            time.sleep(0.05)
            made.append(number)
            yield number

    with closing(one_ahead(source())) as got:
        next(got)
    assert made == [0, 1]
    time.sleep(0.15)
    assert made == [0, 1]


def test_what_does_not_end_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "ENDING_S", 0.05)
    forever = threading.Event()
    behind = Behind[bool]()
    behind.put(forever.wait)
    assert not behind.ended()
    forever.set()
    assert behind.take() is True and behind.ended() and behind.take() is None


def test_what_was_put_away_raises_where_it_is_taken() -> None:
    behind = Behind[None]()

    def full() -> None:
        raise OSError("full")

    behind.put(full)
    assert behind.ended()
    with pytest.raises(OSError, match="full"):
        behind.take()
    behind.put(lambda: None)
    assert behind.take() is None
