from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Facts, Figure, Notes, Prose, Table
from autospine.report.page.promised import flags_by_case, prediction_promise_section, run_promise_section
from autospine.report.page.scoreboard import Scoreboard
from tests.report.page.pages import metrics_of, run_of

ROWS = (
    {"case": "a", "structure": "x", "promised_dice": "0.85", "expected_dice": "0.9", "confidence": "0.9", "flags": ""},
    {"case": "a", "structure": "y", "promised_dice": "0.95", "expected_dice": "0.9", "flags": "too small; islands"},
    {"case": "b", "structure": "x", "promised_dice": "", "expected_dice": "", "flags": ""},
    {"case": "b", "structure": "", "promised_dice": "", "flags": "another contrast"},
    {"case": "c", "structure": "x", "promised_dice": "0.5", "flags": ""},
)


def test_flags_case_by_case() -> None:
    assert flags_by_case(ROWS) == {"a": ["y: too small", "y: islands"], "b": ["another contrast"]}


def test_promises_against_what_was_reached() -> None:
    # a: x 0.9, y 0.8; b: x 0.89; c is not scored
    section = prediction_promise_section(ROWS, Scoreboard.of({"": metrics_of(("a", "b"), ("x", "y"))}))
    assert section is not None
    (notes,) = (block for block in section.blocks if isinstance(block, Notes))
    assert notes.title == "2 of 3 cases need a look" and notes.tone == "bad"
    (figure,) = (block for block in section.blocks if isinstance(block, Figure))
    assert figure.caption.startswith("1 of 2 promises were kept")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [cell.text for cell in table.rows[0]] == ["a", "x", "0.850", "0.900", "0.9", "–", ""]


def test_without_references_or_flags() -> None:
    section = prediction_promise_section(ROWS[:1], None)
    assert section is not None and not any(isinstance(block, Figure | Notes) for block in section.blocks)
    assert any(isinstance(block, Prose) and "None of the 1 cases" in block.text for block in section.blocks)
    assert prediction_promise_section((), None) is None


def test_what_was_promised_and_expected_out_of_fold(make_plan: Callable[..., Plan]) -> None:
    run = run_of(make_plan())
    assert run_promise_section(run) is None
    fold = replace(run.folds[0], expected_dice={"aaa": {"L1": 0.95, "unknown": 0.5}, "other": {"L1": 0.9}})
    promise = {
        "confidence": 0.9,
        "cases": 30,
        "subjects": True,
        "bounds": [{"structure": "L1", "subjects": 20, "left_out": [0, 1, 2], "best": 0.97}, "no table"],
    }
    promised = {("aaa", "L1"): 0.95, ("aaa", "gone"): 0.5}
    section = run_promise_section(replace(run, folds=(fold,), promise=promise, promised_dice=promised))
    assert section is not None
    kept, figure = (block for block in section.blocks if isinstance(block, Figure))
    assert kept.caption.startswith("0 of 1 promises were kept") and "promised 0.950, reached 0.900" in kept.svg
    assert figure.svg.count("<title>") == 1 and "aaa, L1: expected 0.950, reached 0.900" in figure.svg
    (facts,) = (block for block in section.blocks if isinstance(block, Facts))
    assert facts.rows == (("Confidence", "0.9"), ("Cases that it was learnt from", "30"))
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [[cell.text for cell in row] for row in table.rows] == [["L1", "20", "3", "0.970"]]


def test_of_few_subjects_nothing_is_promised_and_that_is_said(make_plan: Callable[..., Plan]) -> None:
    section = run_promise_section(run_of(make_plan(), promise={"confidence": 0.9, "cases": 4, "bounds": []}))
    assert section is not None and isinstance(section.blocks[0], Prose)
    assert section.blocks[0].text.startswith("No Dice is promised: that takes 9 subjects")
