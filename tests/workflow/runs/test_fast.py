"""What a fast prediction is said to cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.planning.document.about import About, Validated
from autospine.workflow.runs.fast import FAST_FILE, FastCost, fast_cost


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        (FastCost(0.9021, 0.8869, 8), "Dice 0.887 instead of 0.902 on the 8 validation case(s) of fold 1"),
        (FastCost(0.9021, 0.9019, 8), "costs no Dice on the 8 validation case(s) of fold 1 (0.902)"),
        (FastCost(0.9021, 0.9101, 1), "Dice 0.910 instead of 0.902 on the 1 validation case(s) of fold 1"),
    ],
)
def test_the_cost_is_told_as_validation_found_it(tmp_path: Path, cost: FastCost, told: str) -> None:
    (tmp_path / "fold_1").mkdir()
    cost.write(tmp_path / "fold_1")
    assert FastCost.read(tmp_path / "fold_1") == cost
    assert told in fast_cost(tmp_path, "1", None)
    assert "not in it" in fast_cost(tmp_path, "1", None)  # other folds would gain something


@pytest.mark.parametrize("text", [None, "", "[]", '{"dice": 0.9}', '{"dice": "x", "fast_dice": 1, "cases": 2}'])
def test_where_nothing_was_measured_that_is_said(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "fold_0").mkdir()
    if text is not None:
        (tmp_path / "fold_0" / FAST_FILE).write_text(text)
    assert FastCost.read(tmp_path / "fold_0") is None
    assert "was not measured" in fast_cost(tmp_path, "0", None)


@pytest.mark.parametrize(("fast", "told"), [(0.887, "Dice 0.887 instead of 0.902"), (None, "was not measured")])
def test_of_an_exported_model_its_card_tells_the_cost(tmp_path: Path, fast: float | None, told: str) -> None:
    about = About(validation=(Validated("0", 8, 0.902, fast, ()),))
    assert told in fast_cost(tmp_path / "model.autospine", "0", about)
