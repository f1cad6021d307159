"""How numbers and verdicts read: in the figure's own digits, unit and direction."""

from __future__ import annotations

import math

import pytest

from autospine.evaluation.paired import Compared, Interval
from autospine.report.wording import (
    gain_cell,
    markdown_table,
    mean_cell,
    metric_name,
    more_is_better,
    number,
    p_value,
    unit_of,
    verdict,
)


def one(mean: float, low: float, high: float, corrected: float, least: float = 0.0, subjects: int = 8) -> Compared:
    return Compared("new", "base", Interval(mean, low, high, subjects), 0.0078, corrected, least)


def test_a_verdict_is_one_sentence() -> None:
    said = "new against base: mean Dice +0.021 (95 % interval +0.012 to +0.030), p = 0.0078, 0.016 after Holm's "
    said += "correction, 8 subjects: better, beyond noise."
    assert verdict(one(0.0211, 0.012, 0.03, 0.0156)) == said
    assert verdict(one(-0.02, -0.03, -0.01, 0.0156)).endswith("worse, beyond noise.")
    assert verdict(one(0.02, -0.01, 0.03, 0.0156)).endswith("within noise.")
    assert verdict(one(0.02, 0.01, 0.03, 0.06)).endswith("within noise.")


def test_of_a_distance_less_is_better() -> None:
    said = verdict(one(-1.234, -2.0, -0.5, 0.0156), "hd95_mm")
    assert "mean HD95 -1.23 mm (95 % interval -2.00 to -0.50)" in said and said.endswith("better, beyond noise.")
    assert verdict(one(40.4, 20.0, 60.0, 0.0156), "volume_difference_mm3").endswith("worse, beyond noise.")
    assert [more_is_better(name) for name in ("dice", "surface_dice", "asd_mm")] == [True, True, False]


def test_too_few_to_tell_and_nobody() -> None:
    assert "too few to tell it from noise, the smallest corrected p they can give is 0.25." in verdict(
        one(0.1, 0.05, 0.2, 0.25, least=0.25, subjects=3)
    )
    nobody = Compared("new", "base", Interval(math.nan, math.nan, math.nan, 0), math.nan, math.nan)
    assert verdict(nobody) == "new against base: no subject to compare on."


@pytest.mark.parametrize(
    ("metric", "name", "unit", "said"),
    [
        ("dice", "Dice", "", "0.123"),
        ("surface_dice", "surface Dice", "", "0.123"),
        ("hd95_mm", "HD95", " mm", "0.12"),
        ("specificity", "specificity", "", "0.1235"),
        ("volume_difference_mm3", "volume difference", " mm3", "0"),
    ],
)
def test_figures_have_their_names_units_and_digits(metric: str, name: str, unit: str, said: str) -> None:
    assert (metric_name(metric), unit_of(metric), number(0.12345, metric)) == (name, unit, said)


def test_cells_without_a_number_say_so() -> None:
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    assert (number(math.nan), mean_cell(nothing), gain_cell(nothing), p_value(math.nan)) == ("-", "-", "-", "-")
    assert mean_cell(Interval(0.5, math.nan, math.nan, 1)) == "0.500"
    assert mean_cell(Interval(0.5, 0.4, 0.6, 9)) == "0.500 (0.400 to 0.600)"
    assert gain_cell(Interval(0.5, -0.4, 0.6, 9)) == "+0.500 (-0.400 to +0.600)"
    assert (p_value(0.0421), p_value(0.0001)) == ("0.042", "under 0.001")


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert markdown_table(("a", "b"), [("x|y", 1)]) == ["| a | b |", "|---|---|", "| x\\|y | 1 |"]
