from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from autospine.planning.document.plan import Plan
from autospine.report.page.blocks import Folded, Notes, Table
from autospine.report.page.planned import DECISIVE, plan_section, shown
from tests.report.page.pages import run_of


def test_decisive_values_come_first_with_their_reasons(make_plan: Callable[..., Plan]) -> None:
    reasons = {"3d_fullres.patch": "what the memory holds", "left_out.2d": "voxels are cubes"}
    section = plan_section(run_of(replace(make_plan(), reasons=reasons)))
    first, left, rest, data = section.blocks
    assert (
        isinstance(first, Table) and isinstance(left, Notes) and isinstance(rest, Folded) and isinstance(data, Folded)
    )
    rows = [tuple(cell.text for cell in row) for row in first.rows]
    assert ("Patch: what it sees at once, voxels", "8 x 16 x 16", "what the memory holds") in rows
    assert left.items == ("2d: voxels are cubes",)
    keys = [row[0].text for block in rest.blocks if isinstance(block, Table) for row in block.rows]
    assert "training.learning_rate" in keys and not set(keys) & set(DECISIVE)
    of_data = [row[0].text for block in data.blocks if isinstance(block, Table) for row in block.rows]
    assert "channels" in of_data and not any(key.startswith("3d_fullres") for key in of_data)


def test_values_as_people_write_them() -> None:
    assert shown(((3, 3), (1, 3))) == "3 x 3, 1 x 3" and shown((1.0, 0.5)) == "1 x 0.5"
    assert shown(None) == "–" and shown(True) == "yes" and shown(0.002) == "0.002" and shown(()) == "none"
    assert shown((("L1", 1), ("L2", 2))) == "L1, 1, L2, 2"
