from __future__ import annotations

import math
from dataclasses import fields

import pytest

from autospine.evaluation.metrics import ClassMetrics
from autospine.evaluation.paired import Interval
from autospine.evaluation.score import CaseScores, Scores
from autospine.report.page.scoreboard import Scoreboard, number, span


def content(*cases: tuple[str, float | None, float | None], **more: object) -> dict[str, object]:
    rows = [
        {"case": name, "classes": {"a": {"dice": a, "hd95_mm": None, "reference_voxels": 5}, "b": {"dice": b}}}
        for name, a, b in cases
    ]
    return {"rule": "rule", "classes": {"a": {}, "b": {}}, "cases": rows, **more}


def test_folds_are_one_board() -> None:
    board = Scoreboard.of(
        {
            "0": content(("x", 0.8, 0.6), ("y", 0.9, None), notes=["careful"]),
            "1": content(("z", 0.4, 0.2), notes=["careful"]),
        },
        {"x": "p", "y": "p"},
    )
    assert [(case.case, case.subject, case.fold) for case in board.cases] == [
        ("x", "p", "0"),
        ("y", "p", "0"),
        ("z", "z", "1"),
    ]
    assert board.structures == ("a", "b") and board.metrics == ("dice",) and board.subjects == 2
    assert board.structure_mean("a") == pytest.approx(0.7) and board.structure_mean("b") == pytest.approx(0.4)
    assert board.mean() == pytest.approx(0.55)
    assert board.worst_structure == "b"
    # the mean of a case is over the structures that it has: x 0.7, y 0.9, z 0.3
    assert [case.case for case in board.ranked] == ["z", "x", "y"]
    # of the mean that stands beside it
    assert board.overall.mean == pytest.approx(0.55) and board.overall.subjects == 2
    assert board.notes == ("careful",) and board.rule == "rule"


def test_subjects_as_the_file_names_them() -> None:
    rows = [{"subject": "p", "slices": ["x", "y"]}, {"subject": "q", "cases": ["z"]}]
    table = content(("x", 0.8, None), ("y", 0.6, None), ("z", 0.4, None), subjects={"mean": {}, "subjects": rows})
    board = Scoreboard.of({"0": table}, {"z": "somebody"})
    assert [case.subject for case in board.cases] == ["p", "p", "somebody"]
    assert board.overall.mean == pytest.approx(0.6) and board.overall.subjects == 2


def test_means_and_intervals_are_those_of_the_scores() -> None:
    """Somebody with three cases, and a structure that few have: the page says what metrics.json says."""
    dice = {"p1": (0.9, 0.5), "p2": (0.8, None), "p3": (0.7, None), "q": (0.5, 0.9), "r": (0.6, None), "s": (0.95, 0.7)}
    subjects = {name: name[0] for name in dice}
    cases = tuple(CaseScores(name, tuple(scored(one) for one in held)) for name, held in dice.items())
    scores = Scores(("a", "b"), cases, subjects=subjects)
    board, said = Scoreboard.of({"": scores.to_json()}, subjects), scores.to_json()["intervals"]
    assert board.metrics == ("dice",)  # voxels are counted beside
    assert board.overall.mean == pytest.approx(scores.mean()) and board.overall.subjects == 4
    assert [board.overall.low, board.overall.high] == pytest.approx(said["mean"]["dice"])
    assert board.overall.low < board.overall.mean < board.overall.high
    found = board.structure_interval("b")
    assert [found.low, found.high] == pytest.approx(said["classes"]["b"]["dice"])
    assert found.mean == pytest.approx(0.7) and found.subjects == 3


def scored(dice: float | None) -> ClassMetrics:
    others = {one.name: 5 if one.name.endswith("_voxels") else math.nan for one in fields(ClassMetrics)[1:]}
    return ClassMetrics(dice=math.nan if dice is None else dice, **others)  # type: ignore[arg-type]


def test_lesions_and_levels_of_the_files() -> None:
    first, second = (content(("x", 0.8, None), lesions={"a": {}}, levels={"right": number}) for number in (1, 2))
    assert Scoreboard.of({"": first}).lesions == {"a": {}}
    both = Scoreboard.of({"0": first, "1": second})
    assert both.lesions == {} and both.levels == ({"right": 1}, {"right": 2})


def test_an_empty_board() -> None:
    board = Scoreboard.of({})
    assert (
        math.isnan(board.mean())
        and board.ranked == ()
        and board.worst_structure is None
        and board.overall.subjects == 0
    )


def test_what_is_no_number_is_left_out() -> None:
    held = {"dice": True, "iou": "0.5", "hd95_mm": math.inf, "asd_mm": 2, "own": 1.0}
    board = Scoreboard.of({"0": {"classes": {"a": {}}, "cases": [{"case": "x", "classes": {"a": held}}]}})
    assert board.cases[0].figures == {"a": {"asd_mm": 2.0, "own": 1.0}} and board.metrics == ("asd_mm", "own")


def test_figures_as_they_are_shown() -> None:
    shown = [
        number(value, name) for value, name in ((0.91234, "dice"), (2.5, "hd95_mm"), (-31.7, "volume_difference_mm3"))
    ]
    assert shown == ["0.912", "2.50", "-32"]
    assert number(0.99987, "specificity") == "0.9999" and number(math.nan) == number(None) == "–"
    assert span(Interval(0.5, 0.4, 0.6, 5)) == "95 % interval 0.400 to 0.600"
    assert span(Interval(0.5, math.nan, math.nan, 1)) == "one subject: no interval"
