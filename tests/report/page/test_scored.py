from __future__ import annotations

import pytest

from autospine.report.page import blocks
from autospine.report.page.blocks import Figure, Folded, Table
from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.scored import scores_section
from tests.report.page.pages import metrics_of


def test_points_means_and_cases() -> None:
    section = scores_section(Scoreboard.of({"0": metrics_of(("a", "b"), ("x", "y"), missing=1)}))
    assert section is not None
    assert [block.caption.partition(" ")[0] for block in section.blocks if isinstance(block, Figure)] == [
        "Dice",
        "HD95",
    ]
    (means,) = (block for block in section.blocks if isinstance(block, Table))
    assert [column.name for column in means.columns] == ["Structure", "Cases", "Dice, 95 % interval", "Dice", "HD95 mm"]
    assert [cell.text for cell in means.rows[1]] == ["y", "1", "–", "0.790", "3.00"]
    assert [cell.text for cell in means.last[3:]] == ["0.843", "2.75"]
    (folded,) = (block for block in section.blocks if isinstance(block, Folded))
    (cases,) = (block for block in folded.blocks if isinstance(block, Table))
    assert [cell.text for cell in cases.rows[1]] == ["a", "0", "y", "–", "–"]
    # a cell without a figure is sorted last, whichever way
    assert cases.rows[1][3].sort is None and cases.rows[0][3].sort == 0.9


def test_lesions_and_mistaken_levels() -> None:
    lesions = {"x": {"found": 3, "missed": 1, "false": 2, "sensitivity": 0.75, "precision": None}}
    mistakes = [{"case": "a", "level": "L4", "kind": "mixed", "called": ["L3", "L4"]}]
    content = {**metrics_of(("a",), ("x",)), "lesions": lesions, "levels": {"mistakes": mistakes}}
    section = scores_section(Scoreboard.of({"": content}))
    assert section is not None
    tables = {block.caption: block for block in section.blocks if isinstance(block, Table)}
    assert [cell.text for cell in tables["Lesions of all cases"].rows[0]] == ["x", "3", "1", "2", "0.750", "–"]
    mistaken = tables["Vertebrae that are not called what they are"]
    assert [cell.text for cell in mistaken.rows[0]] == ["a", "L4", "mixed", "L3 and L4"]


def test_long_tables_end_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MOST_ROWS", 6)
    names = [f"case{number:04}" for number in range(6)]
    section = scores_section(Scoreboard.of({"": metrics_of(names, ("x", "y"))}))
    assert section is not None
    (folded,) = (block for block in section.blocks if isinstance(block, Folded))
    (cases,) = (block for block in folded.blocks if isinstance(block, Table))
    assert len(cases.rows) == 6 and "(the first 6 of 12 rows" in cases.caption


def test_nothing_scored() -> None:
    assert scores_section(Scoreboard.of({})) is None
