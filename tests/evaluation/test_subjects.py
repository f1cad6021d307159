from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import DataError
from autospine.evaluation.subjects import subjects_asked, subjects_named


def test_sessions_and_slices_are_told_by_names() -> None:
    volumes = dict.fromkeys(("p01_visit1", "p01_visit2", "p02_visit1", "p03_slice_1"), False)
    assert list(subjects_named(volumes).values()) == ["p01", "p01", "p02", "p03_slice_1"]
    slices = dict.fromkeys(("p01_slice_012", "p01_slice_013", "p02-z3", "p2Slice4", "p07_visit1_sl2", "x_12"), True)
    assert list(subjects_named(slices).values()) == ["p01", "p01", "p02", "p2", "p07", "x_12"]
    assert subjects_named(dict.fromkeys(("a_slice1", "a_slice2"), True)) == {"a_slice1": "a", "a_slice2": "a"}
    assert subjects_named({}) == {}


def test_subjects_by_a_pattern_or_a_table(tmp_path: Path) -> None:
    assert subjects_asked(["x1a", "x1b"], r"x(\d)") == {"x1a": "1", "x1b": "1"}
    table = tmp_path / "who.csv"
    table.write_text("Patient,Case,age\nA,one,3\nB,two,4\n")
    assert subjects_asked(["two", "one"], str(table)) == {"two": "B", "one": "A"}
    tabs = tmp_path / "who.TSV"
    tabs.write_text("case\tsubject\none\tA\n")
    assert subjects_asked(["one"], str(tabs)) == {"one": "A"}
    with pytest.raises(DataError, match="no subject for two"):
        subjects_asked(["one", "two"], str(tabs))
    table.write_text("case;subject\none;A\n")
    with pytest.raises(DataError, match="case;subject"):
        subjects_asked(["one"], str(table))
    with pytest.raises(DataError, match="nowhere"):
        subjects_asked(["one"], str(tmp_path / "nowhere.csv"))
    with pytest.raises(DataError, match="not a regular expression"):
        subjects_asked(["one"], "(")
