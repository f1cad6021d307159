from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Card, Cards, Folded, Picture, Pictures, Prose, Table
from autospine.report.page.chosen import choice_section, worklist_section
from autospine.report.page.material import OtherConfiguration, RunMaterial
from autospine.report.page.summary import summary_section
from tests.report.page.pages import run_of

SELECTION: dict[str, Any] = {
    "schema": 1,
    "members": ["2d", "3d_fullres"],
    "dice": 0.91,
    "unseen": {"mean": 0.9, "low": 0.88, "high": 0.92, "subjects": 30},
    "candidates": [
        {
            "members": ["2d"],
            "dice": {"mean": 0.89, "low": None, "high": None, "subjects": 30},
            "difference": None,
            "beyond_noise": False,
            "chosen": False,
        }
    ],
    "steps": [
        {
            "steps": [
                {"kind": "above", "structure": "L5", "volume_mm3": 300.0},
                {"kind": "fill", "structure": "L5", "volume_mm3": None},
            ],
            "gain": {"mean": 0.004, "low": 0.001, "high": 0.007, "subjects": 30},
            "used": True,
        },
        {"steps": [{"kind": "largest", "structure": None}], "gain": {"mean": None}, "used": False},
    ],
    "calibrations": [{"member": "2d", "temperature": 1.3, "ece_before": 0.02, "ece_after": None, "used": True}],
}


def rows(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_the_choice_with_its_evidence(make_plan: Callable[..., Plan]) -> None:
    section = choice_section(run_of(make_plan(), selection=SELECTION))
    assert section is not None
    prose, *tables = section.blocks
    assert isinstance(prose, Prose)
    assert (
        prose.text
        == "Predicts: 2d and 3d_fullres, averaged. Mean Dice on cases that did not choose: 0.900 (0.880 to 0.920)."
    )
    found = [rows(table) for table in tables if isinstance(table, Table)]
    assert found == [
        [["2d", "0.890", "–", "no", "no"]],
        [
            ["L5: components below 300 mm³ removed; L5: holes filled", "0.004 (0.001 to 0.007)", "yes"],
            ["all structures together: the largest component alone", "–", "no"],
        ],
        [["2d", "1.3", "0.02", "–", "yes"]],
    ]


def test_without_a_choice_all_that_is_trained(make_plan: Callable[..., Plan]) -> None:
    others = (OtherConfiguration("2d", 1, 0.8, 8), OtherConfiguration("3d_fullres", 2, float("nan"), 0))
    section = choice_section(run_of(make_plan(), others=others))
    assert section is not None and isinstance(section.blocks[0], Table)
    assert rows(section.blocks[0]) == [["2d", "1", "8", "0.8"], ["3d_fullres", "2", "0", "–"]]
    assert choice_section(run_of(make_plan())) is None


def test_a_choice_that_is_no_table_says_nothing(make_plan: Callable[..., Plan]) -> None:
    assert choice_section(run_of(make_plan(), selection={"members": "2d", "candidates": 3, "steps": [4]})) is None


def test_masks_to_look_at(make_plan: Callable[..., Plan]) -> None:
    held = {
        "rank": "1",
        "case": "a",
        "structure": "",
        "reason": "shifted",
        "score": "3.25",
        "dice": "",
        "picture": "x.png",
    }
    section = worklist_section(run_of(make_plan(), worklist=(held,) * 120))
    assert section is not None and isinstance(section.blocks[0], Table)
    table = section.blocks[0]
    # columns that nothing is in are left out
    assert [column.name for column in table.columns] == ["Rank", "Case", "What looks wrong", "Score"]
    assert rows(table)[0] == ["1", "a", "shifted", "3.25"] and len(table.rows) == 100 and "of 120" in table.caption
    assert worklist_section(run_of(make_plan())) is None
    pictures = (Picture("data:,", "alt", "a"),)
    section = worklist_section(run_of(make_plan(), worklist=(held,), worklist_pictures=pictures))
    assert section is not None and section.blocks[1] == Folded(
        "Pictures of the first", (Pictures(pictures, wide=True),)
    )


def test_masks_that_nothing_speaks_against_are_not_to_be_looked_at(make_plan: Callable[..., Plan]) -> None:
    """The list of an audit has every case."""
    doubted = {"rank": "1", "case": "a", "reason": "shifted", "score": "0.42"}
    fine = {"rank": "2", "case": "b", "reason": "", "score": "0.000"}
    run = run_of(make_plan(), worklist=(doubted, fine))
    section = worklist_section(run)
    assert section is not None and isinstance(section.blocks[0], Table)
    assert [row[1] for row in rows(section.blocks[0])] == ["a"] and "2 masks were compared" in section.lead
    cards = cards_of(run)
    assert cards["Mask to look at first"].value == "a"
    assert cards["Mask to look at first"].detail == "shifted, score 0.42 of 1; see the worklist"
    none = run_of(make_plan(), worklist=(fine,))
    section = worklist_section(none)
    assert section is not None and section.blocks == (Prose("Of 1 mask none disagrees more than usual."),)
    assert not any("look at" in label for label in cards_of(none))


def cards_of(run: RunMaterial) -> dict[str, Card]:
    blocks = summary_section(run).blocks
    return {card.label: card for block in blocks if isinstance(block, Cards) for card in block.cards}
