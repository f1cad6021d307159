from __future__ import annotations

from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.shown import cases_section, chosen_cases
from tests.report.page.pages import metrics_of, viewers_of


def names(count: int, most: int) -> list[tuple[str, str]]:
    # Dice falls from the first case to the last
    board = Scoreboard.of({"0": metrics_of([f"c{number}" for number in range(count)], ("x",))})
    return [(case.case, why.partition(":")[0]) for case, why in chosen_cases(board, most)]


def test_the_worst_the_middle_and_the_best() -> None:
    assert names(9, 5) == [
        ("c8", "The worst case"),
        ("c7", "The second worst"),
        ("c6", "The third worst"),
        ("c4", "A case in the middle"),
        ("c0", "The best case"),
    ]
    assert [name for name, _ in names(9, 7)] == ["c8", "c7", "c6", "c5", "c4", "c0"]


def test_few_cases_are_shown_once_each() -> None:
    assert [name for name, _ in names(2, 5)] == ["c1", "c0"]
    assert [name for name, _ in names(1, 5)] == ["c0"]
    assert names(0, 5) == []


def test_as_many_as_were_asked_for() -> None:
    assert [name for name, _ in names(9, 1)] == ["c8"]
    assert [name for name, _ in names(9, 2)] == ["c8", "c0"]
    assert names(9, 0) == []


def test_a_section_only_with_cases() -> None:
    assert cases_section((), True) is None
    section = cases_section(viewers_of(1), False)
    assert section is not None and section.title == "Cases"
