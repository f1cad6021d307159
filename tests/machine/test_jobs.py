"""Work that is shared out: what it gives, and what it raises; `test_processes.py` stops and kills it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from autospine.machine.jobs import share_out

JOBS = [("one", "1"), ("two", "22"), ("three", "x")]


@contextmanager
def naming(case: str) -> Iterator[None]:
    try:
        yield
    except ValueError as fault:
        raise KeyError(case) from fault


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_done_has_its_place(workers: int) -> None:
    assert sorted(share_out(len, JOBS, workers)) == [(0, 1), (1, 2), (2, 1)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_has_the_name_of_its_case(workers: int) -> None:
    with pytest.raises(KeyError, match="three"):
        list(share_out(int, JOBS, workers, naming))
