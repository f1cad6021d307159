from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.expected import EXPECTED, Expected, write_expected
from autospine.workflow.explain import compare_at, explained_plan
from autospine.workflow.runs.folder import RunFolder


def test_a_plan_is_explained_and_compared_by_what_people_call_it(run: RunFolder, tmp_path: Path) -> None:
    runs = run.root.parent
    explained, notes = explained_plan(Path("toy"), runs)
    plan = explained.plan
    assert (plan.data.dataset, plan.default) == ("toy", run.read_plan().default)
    assert notes == ()
    # the test's plan is none that a planner has made: what its numbers take is worked out now
    assert [one.name for one in plan.configurations] == list(explained.expected)
    assert all(one.memory_gb > 0 for one in explained.expected.values())
    copy = tmp_path / "mine.toml"
    copy.write_text(run.plan.read_text().replace("momentum = 0.99", "momentum = 0.9", 1))
    assert compare_at(Path("toy"), run.root, runs) == ()
    (difference,) = compare_at(Path("toy"), copy, runs)
    assert difference.key.endswith("momentum") and (difference.first, difference.second) == (0.99, 0.9)
    # what a copy without the file is expected to take is no difference
    write_expected(run.expected, explained.expected)
    assert len(compare_at(Path("toy"), copy, runs)) == 1
    assert explained_plan(Path("toy"), runs) == (explained, ())
    write_expected(tmp_path / EXPECTED, {"2d": Expected(9.0)})
    assert "2d.expected.memory_gb" in {one.key for one in compare_at(Path("toy"), copy, runs)}
    with pytest.raises(PlanError, match="no plan"):
        compare_at(Path("toy"), Path("other"), runs)
