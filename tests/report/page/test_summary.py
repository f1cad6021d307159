from __future__ import annotations

from collections.abc import Callable

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Cards, Notes
from autospine.report.page.scoreboard import Scoreboard
from autospine.report.page.summary import level_cards, listed_in_order, score_warnings, summary_section
from tests.report.page.pages import metrics_of, run_of


def test_the_figures_that_matter(make_plan: Callable[..., Plan]) -> None:
    section = summary_section(run_of(make_plan()))
    cards = {card.label: card for block in section.blocks if isinstance(block, Cards) for card in block.cards}
    # Dice 0.90, 0.80, 0.70 of the first case, 0.01 and 0.02 less of the others
    assert cards["Mean Dice"].value == "0.790" and "3 subjects" in cards["Mean Dice"].detail
    assert cards["Weakest structure"].value == "L3" and cards["Weakest structure"].detail == "mean Dice 0.690"
    assert cards["Worst case"].value == "ccc"
    assert cards["Mean HD95"].value == "3.00 mm"
    assert cards["Training"].value == "2.0 min"
    (notes,) = (block for block in section.blocks if isinstance(block, Notes))
    said = " ".join(notes.items)
    assert "Only 3 subjects" in said and "One fold alone" in said and "--fast has a mean Dice of 0.700" in said


def test_levels_of_all_folds() -> None:
    counts = {"vertebrae": 5, "right": 4, "mixed": 0, "wrong": 1, "missed": 0, "extra": 0}
    (card,) = level_cards([counts, counts, {}])
    assert (card.value, card.detail) == ("8 of 10", "2 wrong")
    assert list(level_cards([{}, {"vertebrae": "many"}])) == []


def test_what_was_missed_is_said() -> None:
    content = metrics_of(("a", "b"), ("x", "y"), missing=2)
    content["cases"][0]["classes"]["x"]["dice"] = 0
    said = list(score_warnings(Scoreboard.of({"0": content})))
    assert "x was missed altogether, or found where it is not, in 1: a." in said
    assert "y was in none of the scored cases: nothing is known of how well it is segmented." in said


def test_long_lists_end() -> None:
    assert listed_in_order(("a", "b")) == "a, b"
    assert listed_in_order(tuple("abcdefghij")) == "a, b, c, d, e, f, g, h and 2 more"
