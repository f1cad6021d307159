"""How far a prediction is, and how long it takes."""

from __future__ import annotations

from autospine.workflow.steps.counted_cases import Pace


def test_the_time_left_follows_from_the_cases_so_far() -> None:
    now = [0.0]
    pace = Pace(102, 2, lambda: 0, lambda: now[0])
    assert pace.title("a") == "a (3/102)"
    now[0] = 2.0  # one in 2 s, 99 are left: 198 s
    assert pace.title("b") == "b (4/102; 30 cases a minute, 3 min left)"
    now[0] = 60.0  # two in 60 s, 98 are left: 49 min
    assert pace.title("c") == "c (5/102; 2.0 cases a minute, 49 min left)"
    now[0] = 600.0  # three in ten minutes, 97 are left
    assert pace.title("d") == "d (6/102; 0.3 cases a minute, 5 h 23 min left)"


def test_what_is_soon_done_is_not_timed() -> None:
    now = [0.0]
    pace = Pace(3, 0, lambda: 0, lambda: now[0])
    titles = []
    for name in "abc":
        titles.append(pace.title(name))
        now[0] += 1.0
    assert titles == ["a (1/3)", "b (2/3)", "c (3/3)"]


def test_cases_of_other_processes_count() -> None:
    now, begun = [0.0], [1]
    pace = Pace(100, 0, lambda: begun[0], lambda: now[0])
    assert pace.title("a") == "a (1/100)"
    now[0], begun[0] = 10.0, 21  # twenty in 10 s by all; the 21st is this one
    assert pace.title("b") == "b (21/100)"
    now[0], begun[0] = 100.0, 31
    assert pace.title("c") == "c (31/100; 18 cases a minute, 4 min left)"
