from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.fold_evidence import expected_dice, read_evidence, read_expected_dice

SURE = {"predicted_voxels": 100, "soft_voxels": 110.0, "inside": 90.0}


def test_expected_dice_by_hand() -> None:
    assert expected_dice(SURE) == pytest.approx(180 / 210)
    for unknown in (None, {}, {**SURE, "predicted_voxels": 0}, {**SURE, "inside": "many"}):
        assert math.isnan(expected_dice(unknown))


def test_what_the_folds_have_kept(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "spines")
    assert read_evidence(run, "2d") == {}
    contents = (
        {"schema": 1, "cases": {"a": {"structures": {"L1": SURE}}, "b": {"structures": None}}},
        {"schema": 1, "cases": {"c": {"structures": {"L2": SURE}}}},
        ["no table"],
    )
    for number, content in enumerate(contents):
        run.fold("2d", number).mkdir(parents=True)
        (run.fold("2d", number) / "evidence.json").write_text(json.dumps(content))
    (run.fold("2d", 2) / "evidence.json").write_text("broken")
    assert set(read_evidence(run, "2d")) == {"a", "b", "c"}
    expected = read_expected_dice(run, "2d", ("L1", "L2"))
    assert set(expected) == {"a", "c"}
    assert expected["a"][0] == pytest.approx(180 / 210) and math.isnan(expected["a"][1])
