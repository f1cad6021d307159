from __future__ import annotations

from dataclasses import replace

from autospine.report.page.blocks import Cards, Figure, Notes, Picture, Prose, Table
from autospine.report.page.material import PredictionMaterial
from autospine.report.page.pages import prediction_page
from autospine.report.page.predicted import prediction_summary, previews_section, volumes_section
from autospine.report.page.scoreboard import Scoreboard
from tests.report.page.pages import metrics_of

MADE = PredictionMaterial(
    name="out",
    record={"folder": "/home/me/runs/x/2d", "folds": ["0", "1"], "device": "CPU, 2 cores"},
    cases=("a", "b"),
    statistics=(
        {"case": "a", "structure": "L1", "value": "1", "voxels": "1200", "volume_mm3": "4800.5", "mean_T2": "101.25"},
        {"case": "b", "structure": "L1", "value": "1", "voxels": "0", "volume_mm3": "0", "mean_T2": ""},
    ),
    promises=({"case": "a", "structure": "", "flags": "another contrast"},),
    failed={"c": "cannot be read"},
    scores=None,
)


def test_in_short() -> None:
    section = prediction_summary(MADE)
    assert isinstance(section.blocks[0], Prose) and section.blocks[0].text == "2 segmentations made by 2d."
    (cards,) = (block for block in section.blocks if isinstance(block, Cards))
    assert [(card.label, card.value) for card in cards.cards] == [("Cases", "2"), ("Cases that need a look", "1")]
    (notes,) = (block for block in section.blocks if isinstance(block, Notes))
    assert notes.items == ("c could not be segmented: cannot be read",)


def test_volumes() -> None:
    section = volumes_section(MADE)
    assert section is not None
    (figure,) = (block for block in section.blocks if isinstance(block, Figure))
    assert "a, L1: 4.8 ml" in figure.svg and "b, L1" not in figure.svg
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [column.name for column in table.columns][-2:] == ["Volume mm³", "Mean t2"]
    assert [[cell.text for cell in row][3:] for row in table.rows] == [["1200", "4800", "101.2"], ["0", "0", "–"]]
    assert volumes_section(replace(MADE, statistics=())) is None


def test_pages_have_what_there_is() -> None:
    keys = [section.key for section in prediction_page(MADE, "").sections]
    assert keys == ["summary", "promise", "volumes"]
    pictures = (Picture("data:,", "alt", "a"),)
    scored = replace(MADE, scores=Scoreboard.of({"": metrics_of(("a",), ("L1",))}), previews=pictures, commands=("x",))
    keys = [section.key for section in prediction_page(scored, "").sections]
    assert keys == ["summary", "promise", "scores", "volumes", "previews", "again"]
    assert previews_section(MADE) is None
