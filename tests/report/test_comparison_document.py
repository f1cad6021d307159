"""The files of a comparison: what they say, and that they can be read again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from autospine.evaluation.comparison import Comparison
from autospine.evaluation.metrics import METRICS
from autospine.report import comparison_document
from autospine.report.comparison_document import carried_text, comparison_markdown, write_comparison
from tests.evaluation.test_comparison import case, compared

GAINS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, -0.01, 0.07, 0.08, 0.09, 0.1, 0.11)


@pytest.fixture
def comparison() -> Comparison:
    """Twelve subjects, of whom one loses 0.01 and the others gain up to 0.11 in x; y is missed by `base` in c0."""
    base = [case(f"c{place}", {"x": 0.5, "y": 0.0 if not place else 0.5}) for place in range(12)]
    new = [case(f"c{place}", {"x": 0.5 + gain, "y": 0.5}) for place, gain in enumerate(GAINS)]
    places = {"base": "out/base", "new": "out/new"}
    return compared(
        {"base": base, "new": new}, places=places, reference="masks", left_out=("c99",), notes=("base: odd",)
    )


def test_the_text_says_what_was_found(comparison: Comparison, tmp_path: Path) -> None:
    path = write_comparison(comparison, tmp_path / "out")
    text = path.read_text()
    assert text.startswith("# new against base\n")
    assert "12 cases, compared in Dice." in text and "**Left out**, since some arm lacks them: c99." in text
    assert "new against base: mean Dice +0.048" in text and "better, beyond noise." in text
    assert "| c0 | y | 100 voxels | new | base |" in text and "- base: odd" in text
    assert "| c6 | -0.005 |" in text  # (-0.01 + 0) / 2
    assert "... 2 more" in text and "(comparison.png)" in text
    names = ("comparison.csv", "comparison.json", "comparison.md", "comparison.png")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == list(names)


def test_what_carries_it_is_said(comparison: Comparison) -> None:
    """c0 with (0.01 + 0.5) / 2, then 0.055 and 0.05; of the others 0.215 / 9 in the mean."""
    (one,), (carried,) = comparison.overall, comparison.carried
    text = carried_text(carried, one, "dice")
    assert text.startswith("Without the 3 that speak most for it (c0, c11, c10) the difference of new is +0.024")
    few = compared({"base": [case("a", {"x": 0.5})], "new": [case("a", {"x": 0.6})]})
    assert carried_text(few.carried[0], few.overall[0], "dice") == ""


def test_tables_can_be_read_again(comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_document, "plot_comparison", lambda comparison, path: None)
    write_comparison(comparison, tmp_path)
    with (tmp_path / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 * 2 * 2 and set(METRICS) <= set(rows[0])
    row = next(row for row in rows if (row["case"], row["class"], row["arm"]) == ("c3", "x", "new"))
    assert float(row["dice"]) == pytest.approx(0.54) and row["hd95_mm"] == "" and row["reference_voxels"] == "100"
    content = json.loads((tmp_path / "comparison.json").read_text())
    (one,) = content["comparisons"]
    assert content["schema"] == 1 and content["cases"] == 12 and one["beyond_noise"] is True
    assert one["difference"]["mean"] == pytest.approx((sum(GAINS) + 0.5) / 24)
    assert one["carried_by"]["differences"][0]["subject"] == "c0"
    assert content["disputed"] == [
        {"case": "c0", "class": "y", "reference_voxels": 100, "found_by": ["new"], "not_by": ["base"]}
    ]
    assert content["means"]["new"]["hd95_mm"] == {"mean": None, "low": None, "high": None, "subjects": 0}


def test_subjects_of_several_cases_are_counted(comparison: Comparison) -> None:
    people = {f"c{place}": f"p{place // 2}" for place in range(12)}
    text = comparison_markdown(compared(dict(comparison.tables), subjects=people), None)
    assert "12 cases of 6 subjects" in text and "comparison.png" not in text
    assert "Every structure is found" not in text


def test_where_nothing_can_be_compared_nothing_is_drawn(tmp_path: Path) -> None:
    nothing = [case("a", {"x": None}, absent=("x",))]
    text = write_comparison(compared({"base": nothing, "new": nothing}), tmp_path).read_text()
    assert "no subject to compare on" in text and not (tmp_path / "comparison.png").exists()
    assert json.loads((tmp_path / "comparison.json").read_text())["comparisons"][0]["p"] is None
