"""The table of levels, and what is said at the end of a prediction."""

from __future__ import annotations

import csv
from pathlib import Path

from autospine.inference.column import FoundVertebra
from autospine.workflow.steps.levels import COLUMNS, describe_unnamed, unnamed_cases, write_levels

COLUMN = (
    FoundVertebra(1, "L5", 0.991, (), True, False, 900, ""),
    FoundVertebra(2, "L4", 0.612, (("L3", 0.31), ("none", 0.1)), False, True, 420, "could be L4 (61 %), L3 (31 %)"),
    FoundVertebra(3, None, 0.7, (), False, True, 100, "beyond the levels that the model knows"),
)


def test_the_table_has_a_row_for_each_vertebra(tmp_path: Path) -> None:
    write_levels(tmp_path / "a.csv", "scan_07", COLUMN)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and [row["level"] for row in rows] == ["L5", "L4", ""]
    assert [row["named"] for row in rows] == ["yes", "no", "no"] and rows[1]["others"] == "L3 0.31, none 0.10"
    unnamed = unnamed_cases(rows)  # one beyond the chain has no level to be unsure of
    assert unnamed == {"scan_07": ["vertebra 2 could be L4 (61 %), L3 (31 %)"]}


def test_the_end_of_a_prediction_names_the_first_cases() -> None:
    assert describe_unnamed({}, 3, Path("out/levels.csv")) == []
    one = describe_unnamed({"a": ["vertebra 2 could be L4"]}, 1, Path("out/levels.csv"))
    assert one == [
        "The level of 1 vertebra in 1 of 1 case is not certain (levels.csv in out says why):",
        "  a (vertebra 2 could be L4)",
    ]
    many = describe_unnamed({name: ["x", "y"] for name in "abcde"}, 9, Path("out/levels.csv"))
    assert many[0].startswith("The level of 10 vertebrae in 5 of 9 cases") and many[1].endswith("; and 2 more")
