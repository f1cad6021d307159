from __future__ import annotations

import pytest

from autospine.report.page import blocks
from autospine.report.page.blocks import Cell, Column, Folded, Notes, Prose, Table, walk
from tests.report.page.pages import viewers_of


def test_blocks_that_are_folded_are_found() -> None:
    inner = Folded("inner", (Prose("c"),))
    held = (Prose("a"), Folded("outer", (Prose("b"), inner)))
    assert [one.text for one in walk(held) if isinstance(one, Prose)] == ["a", "b", "c"]
    assert inner in walk(held)


def test_a_table_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_ROWS", 2)
    table = Table("Rows", (Column("a"),), tuple((Cell(str(number)),) for number in range(3)))
    assert (
        len(table.cut().rows) == 2 and table.cut().caption == "Rows (the first 2 of 3 rows; the files beside have all)"
    )
    short = Table("Rows", (Column("a"),), table.rows[:2])
    assert short.cut() is short


def test_notes_end_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_NOTES", 2)
    notes = Notes(("a", "b", "c", "d"), "Beware", "bad")
    assert notes.cut() == Notes(("a", "b", "and 2 more"), "Beware", "bad")
    assert Notes(("a", "b")).cut() == Notes(("a", "b"))


def test_a_layer_that_panels_share_is_one() -> None:
    (viewer,) = viewers_of(1)
    assert [layer.name for layer in viewer.layers] == [
        f"case-0-{name}" for name in ("image", "reference", "prediction", "error")
    ]
