from __future__ import annotations

import json
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.report.page.blocks import Commands, Figure, Notes, Table
from autospine.report.page.document import render_page
from autospine.report.page.material import ClassGain, Comparison, PlainTable, StudyMaterial
from autospine.report.page.studied import study_page
from autospine.report.page.study_file import STUDY_FILE, read_study_file, write_study_file
from tests.report.page.pages import NASTY, Reader

STUDY = StudyMaterial(
    title="Ablation: toy",
    question="What is it worth?",
    summary="9 cases of 8 subjects.",
    verdicts=("better against base: beyond noise.",),
    missing=("autospine study ablation toy --only better:1",),
    arms=PlainTable(("arm", "cases"), (("base", "12"), (NASTY, "12"))),
    means=PlainTable(("arm", "dice"), (("base", "0.800 (0.700 to 0.900)"), (NASTY, "-"))),
    classes=PlainTable(
        ("class", "voxels", "arm", "p (Holm)"),
        (("small", "9", "base", ""), ("", "", NASTY, "under 0.001"), ("large", "99", "base", "")),
    ),
    lesions=PlainTable(("class",), ()),
    comparisons=(Comparison(NASTY, "base", (("s1", 0.1), ("s2", 0.2)), 0.15, None, None, ""),),
    gains=tuple(ClassGain(label, 100.0, NASTY, 0.1, 0.0, 0.2, 2) for label in ("small", "large")),
    notes=("One case is left out.",),
)


def test_the_page_says_all_of_it() -> None:
    page = study_page(STUDY, "")
    assert [section.key for section in page.sections] == ["summary", "arms", "classes"]
    blocks = [block for section in page.sections for block in section.blocks]
    assert [len([block for block in blocks if isinstance(block, kind)]) for kind in (Figure, Table, Commands)] == [
        2,
        3,
        1,
    ]
    assert any(isinstance(block, Notes) and block.items == STUDY.verdicts for block in blocks)
    means = next(block for block in blocks if isinstance(block, Table) and "Mean" in block.caption)
    assert means.columns[1].numeric and means.rows[0][1].sort == 0.8 and means.rows[1][1].sort is None
    classes = next(block for block in blocks if isinstance(block, Table) and block.caption == "Classes")
    assert [[cell.text for cell in row[:2]] for row in classes.rows] == [
        ["small", "9"],
        ["small", "9"],
        ["large", "99"],
    ]
    assert [column.numeric for column in classes.columns] == [False, True, False, True]
    assert [row[3].sort for row in classes.rows] == [None, 0.001, None]
    read = Reader(render_page(page))
    assert read.unclosed == [] and len(read.of("script")) == 1 and NASTY in "".join(read.text)


def test_the_file_gives_the_same_study(tmp_path: Path) -> None:
    write_study_file(STUDY, tmp_path)
    assert read_study_file(tmp_path) == STUDY


@pytest.mark.parametrize("content", [[], {"schema": 2}, {"schema": 1, "title": 3}])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: object) -> None:
    (tmp_path / STUDY_FILE).write_text(json.dumps(content))
    with pytest.raises(PlanError, match="study.json"):
        read_study_file(tmp_path)
