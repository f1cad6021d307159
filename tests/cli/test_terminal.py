from __future__ import annotations

import pytest
from rich.console import Console

from autospine.cli import terminal
from autospine.errors import DataError


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(width=60, record=True, highlight=False)
    monkeypatch.setattr(terminal, "console", console)
    monkeypatch.setattr(terminal, "errors", console)
    return console


def test_an_error_is_one_panel_with_its_four_parts(shown: Console) -> None:
    terminal.show_error(DataError("case [1]", "no mask", "a mask", "add it"))
    said = shown.export_text()
    for part in ("case [1]", "no mask", "Expected: a mask", "What to do: add it"):
        assert part in said


def test_a_place_that_is_too_long_for_a_title_stands_whole_in_the_panel(shown: Console) -> None:
    place = "/".join(["folder"] * 12) + "/end"
    terminal.show_error(DataError(place, "no mask"))
    assert place in "".join(line.strip("│ ") for line in shown.export_text().splitlines())


def test_tasks_are_lines_where_there_is_no_terminal(shown: Console) -> None:
    progress = terminal.TerminalProgress()
    with progress.task("Reading [all]") as update:
        update("case", 0.5)
    progress.note("a [note]")
    assert shown.export_text().splitlines() == ["Reading [all]", "  done in 0 s", "a [note]"]


def test_lines_of_several_processes_are_told_from_each_other(shown: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LINE_EVERY_S", 0.0)
    progress = terminal.TerminalProgress("[2] ")
    with progress.task("a (1/2)") as update:
        update("tile 1/2", 0.5)
    progress.note("word " * 40)
    assert [line[:4] for line in shown.export_text().splitlines()] == ["[2] "] * 4


def test_time_left_counts_from_the_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr(terminal.time, "monotonic", lambda: next(now))
    left = terminal.TimeLeft()
    assert left(0.5) == ""  # resumed: this half cost nothing now
    assert left(0.6) == "40 s left"
    assert left(1.0) == ""


def test_a_line_stays_one_however_long(shown: Console) -> None:
    terminal.show_line("word [bold] " * 20)
    assert len(shown.export_text().splitlines()) == 1
