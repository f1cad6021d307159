"""What the terminal says of scores: a mean says of how many cases it is, where these are not all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rich.console import Console

from autospine.cli.show import scores
from autospine.evaluation.score import score_cases

LABELS = (("L1", 1), ("L2", 2), ("L3", 3), ("L4", 4))


def mask(*values: int) -> np.ndarray:
    """(1, 4, 4) labels, a row of each of `values`."""
    array = np.zeros((1, 4, 4), np.uint8)
    for row, value in enumerate(values):
        array[0, row] = value
    return array


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Class -> cells of the table: L1 is found in one case of two, L2 in none of two, L3 in one of one, L4 nowhere."""
    console = Console(width=200, record=True, highlight=False)
    monkeypatch.setattr(scores, "console", console)
    cases = [("a", mask(1, 0, 3), mask(1, 2, 3), (1.0,) * 3), ("b", mask(0, 2, 0), mask(1, 0, 0), (1.0,) * 3)]
    scores.show_scores(score_cases(cases, LABELS).to_json())
    lines = [line.strip("│┃ ") for line in console.export_text().splitlines()]
    cells = ([cell.strip() for cell in line.replace("┃", "│").split("│")] for line in lines)
    return {first: rest for first, *rest in cells if rest}


def test_means_over_fewer_cases_say_so(rows: dict[str, list[str]]) -> None:
    heads = ["Dice", "95 %", "prec.", "sens.", "HD95 mm", "ASD mm", "surf. Dice", "vol. mm3"]
    assert rows["class"] == heads
    hd95 = heads.index("HD95 mm")
    assert rows["L1"][:2] == ["0.500", "0.00-1.00"] and rows["L1"][hd95] == "0.000 (1 of 2 cases)"
    assert rows["L2"][:2] == ["0.000", "0.00-0.00"] and rows["L2"][hd95] == "- (0 of 2 cases)"
    assert rows["L3"][:2] == ["1.000", ""] and rows["L3"][hd95] == "0.000"
    assert rows["L4"] == ["-", "", *["-"] * 6]
    assert rows["mean"][0] == "0.500" and rows["mean"][hd95] == "0.000 (2 of 5 values)"
    assert rows["L1"][-1] == "-2" and rows["L2"][-1] == "+0"


def shown(content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    console = Console(width=160, record=True, highlight=False)
    monkeypatch.setattr(scores, "console", console)
    scores.show_scores(content)
    return console.export_text()


def test_scores_of_older_files_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "0.500" in shown({"mean": {"dice": 0.5}, "classes": {"L1": {"dice": 0.5}}}, monkeypatch)
    older = {"found": 1, "missed": 1, "false": 0, "sensitivity": 0.5, "precision": 1.0, "by_diameter": {}}
    text = shown({"mean": {"dice": 0.5}, "classes": {"L1": {"dice": 0.5}}, "lesions": {"L1": older}}, monkeypatch)
    assert "1/2" in text


def test_levels_are_told_and_mistakes_named(monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = [
        {"case": "a", "level": "L3", "kind": "wrong", "called": ["L2"]},
        {"case": "a", "level": "L4", "kind": "mixed", "called": ["L4", "L5"]},
        {"case": "b", "level": "L5", "kind": "missed", "called": []},
        {"case": "[b]", "level": "L1", "kind": "extra", "called": ["L1"]},
    ]
    levels = {"vertebrae": 10, "right": 7, "mixed": 1, "wrong": 1, "missed": 1, "extra": 1, "mistakes": mistakes}
    content = {"mean": {"dice": 0.5}, "classes": {"L1": {"dice": 0.5}}, "levels": levels}
    text = shown(content, monkeypatch)
    said = "Levels: 7 of 10 right, 1 mixed, 1 wrong, 1 missed; 1 predicted where the reference has none"
    assert said in text and "a: L3 is called L2" in text and "a: L4 is called L4 and L5" in text
    assert "b: L5 is missed" in text and "[b]: L1 is predicted where none is" in text
    levels["mistakes"] = mistakes * 4
    assert "and 4 more, named in metrics.json" in shown(content, monkeypatch)


def test_slices_have_a_row_of_their_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [(f"p{case}_slice{slice}", mask(1), mask(1, 1), (1.0,) * 3) for case in "12" for slice in "12"]
    text = shown(score_cases(cases, LABELS).to_json(), monkeypatch)
    assert "mean of 2 subjects" in text and "bootstrap over 2 subject(s)" in text
