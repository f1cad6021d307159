from __future__ import annotations

import math

import pytest

from autospine.evaluation.paired import Interval
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
    # over subjects: p has 0.8, z has 0.3
    assert board.overall.mean == pytest.approx(0.55) and board.overall.subjects == 2
    assert board.notes == ("careful",) and board.rule == "rule"


def test_subjects_as_the_file_names_them() -> None:
    rows = [{"subject": "p", "slices": ["x", "y"]}, {"subject": "q", "cases": ["z"]}]
    table = content(("x", 0.8, None), ("y", 0.6, None), ("z", 0.4, None), subjects={"mean": {}, "subjects": rows})
    board = Scoreboard.of({"0": table}, {"z": "somebody"})
    assert [case.subject for case in board.cases] == ["p", "p", "somebody"]
    assert board.overall.mean == pytest.approx(0.55) and board.overall.subjects == 2


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
