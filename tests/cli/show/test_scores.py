"""What the terminal says of scores: a mean says of how many cases it is, where these are not all."""

from __future__ import annotations

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
    assert rows["class"] == ["dice", "iou", "precision", "sensitivity", "specificity", "hd95_mm"]
    assert rows["L1"][0] == "0.500" and rows["L1"][-1] == "0.000 (1 of 2 cases)"
    assert rows["L2"][0] == "0.000" and rows["L2"][-1] == "- (0 of 2 cases)"
    assert rows["L3"][0] == "1.000" and rows["L3"][-1] == "0.000"
    assert rows["L4"] == ["-"] * 6
    assert rows["mean"][0] == "0.500" and rows["mean"][-1] == "0.000 (2 of 5 values)"


def test_scores_of_files_without_counts_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=100, record=True)
    monkeypatch.setattr(scores, "console", console)
    scores.show_scores({"mean": {"dice": 0.5}, "classes": {"L1": {"dice": 0.5}}})
    assert "0.500" in console.export_text()
