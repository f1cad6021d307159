"""Which plan is meant by a file, a folder or a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.expected import Estimated, Expected, write_expected
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.plans import find_plan, plan_path


def test_a_plan_by_file_folder_and_name(run: RunFolder, tmp_path: Path) -> None:
    runs, known = run.root.parent, {"2d": Expected(1.0)}
    write_expected(run.expected, known)
    for place in (run.plan, run.root, Path("toy"), Path("anywhere/toy")):
        assert plan_path(place, runs) == run.plan
        assert find_plan(place, runs) == Estimated(run.read_plan(), known)
    with pytest.raises(PlanError, match="no plan: .* is not there"):
        find_plan(tmp_path / "other", runs)
