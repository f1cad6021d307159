from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Facts, Figure, Table
from autospine.report.page.measured import data_section
from tests.report.page.pages import fingerprint_of, run_of


def test_sizes_and_imbalance(make_plan: Callable[..., Plan]) -> None:
    section = data_section(run_of(make_plan(), fingerprint=fingerprint_of(("a", "b"), ("L1", "L2"))))
    assert section is not None
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["L1", "1", "2 of 2", "1000", "2.0"],
        ["L2", "2", "2 of 2", "2000", "1.0"],
    ]
    (facts,) = (block for block in section.blocks if isinstance(block, Facts))
    assert ("Grid", "20 x 31 x 10 voxels of 1 x 1 x 4 mm (Z x Y x X) in 1 cases, 1 other grid") in facts.rows
    figures = [block for block in section.blocks if isinstance(block, Figure)]
    # cases differ in their extent, not in their spacing
    assert [figure.caption.partition(" ")[0] for figure in figures] == ["Field", "Volume"]
    # 1000 voxels of 4 mm3
    assert "a, L1: 4 ml" in figures[1].svg


def test_data_that_say_little(make_plan: Callable[..., Plan]) -> None:
    assert data_section(run_of(make_plan(), fingerprint=None)) is None
    one = fingerprint_of(("a",), ("L1",))
    empty = replace(one, cases=(replace(one.cases[0], class_voxels=(0,)),))
    section = data_section(run_of(make_plan(), fingerprint=empty))
    assert section is not None and not any(isinstance(block, Figure) for block in section.blocks)
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert [cell.text for cell in table.rows[0]] == ["L1", "1", "0 of 1", "–", "–"]
