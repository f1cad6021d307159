"""`selection.json`: read as it was written, refused where it is none, and which models it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autospine.errors import PlanError
from autospine.planning.document.postprocessing import Step
from autospine.workflow.runs.folder import SELECTION
from autospine.workflow.runs.selection import (
    Calibration,
    Candidate,
    JudgedSteps,
    MemberWeights,
    Range,
    Selection,
    choose_models,
    read_selection,
    write_selection,
)

SOME = Range(0.8, 0.7, 0.9, 12)


def selection_of(*members: Any) -> Selection:
    """Of 2d and 3d_fullres, the second of which is better alone."""
    candidates = (
        Candidate(("2d",), SOME, Range(-0.1, -0.2, -0.05, 12), True, members == ("2d",)),
        Candidate(("3d_fullres",), Range(0.9, 0.85, 0.95, 12), None, False, members == ("3d_fullres",)),
        Candidate(("2d", "3d_fullres"), SOME, Range(0.001, None, None, 12), False, len(members) == 2),
    )
    steps = (JudgedSteps((Step("fill", "L1"), Step("above", "L1", 30.0)), Range(0.01, 0.0, 0.02, 12), False),)
    calibrations = (Calibration("2d", 1.3, 0.1, 0.05, 0.4, 0.3, True),)
    weights = (MemberWeights("2d", "0", "aa"), MemberWeights("3d_fullres", "0", "bb"))
    return Selection(members, 0.9, 24, SOME, candidates, steps, calibrations, weights)


def test_what_is_written_is_read_in_the_form_that_others_read(tmp_path: Path) -> None:
    selection = selection_of("2d", "3d_fullres")
    write_selection(tmp_path, selection)
    assert read_selection(tmp_path) == selection
    content = json.loads((tmp_path / SELECTION).read_text())
    assert (content["schema"], content["members"], content["dice"]) == (1, ["2d", "3d_fullres"], 0.9)
    assert {"candidates", "steps"} <= content.keys()
    assert selection.name == "2d + 3d_fullres"
    assert selection.steps[0].described == "L1: holes filled, components below 30 mm3 removed"


def test_which_folders_are_meant(tmp_path: Path) -> None:
    model = tmp_path / "2d"
    assert choose_models(model).folders == (model,) and choose_models(model).home == model
    write_selection(tmp_path, selection_of("2d", "3d_fullres"))
    both = choose_models(tmp_path)
    assert both.home == tmp_path and both.folders == (model, tmp_path / "3d_fullres")
    fast = choose_models(tmp_path, fast=True)
    assert fast.folders == (tmp_path / "3d_fullres",) and fast.home == fast.folders[0]
    write_selection(tmp_path, selection_of("2d"))
    assert choose_models(tmp_path).home == model


def test_weights_that_came_later_are_named() -> None:
    selection = selection_of("2d")
    assert selection.describe_others({("2d", "0"): "aa"}) == ""
    assert "2d fold 0, 2d fold 1: trained since" in selection.describe_others({("2d", "0"): "cc", ("2d", "1"): "dd"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 2}, "schema 2"),
        ({"members": []}, "one or more distinct"),
        ({"members": ["2d", "2d"]}, "one or more distinct"),
        ({"members": ["../../etc"]}, "found '../../etc'"),
        ({"dice": 1.5}, "found 1.5"),
        ({"command": "rm"}, "no key `command`"),
        ({"weights": [{"member": "2d", "fold": "\x1b", "sha256": ""}]}, "without control characters"),
    ],
)
def test_what_is_no_selection_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    write_selection(tmp_path, selection_of("2d"))
    content = json.loads((tmp_path / SELECTION).read_text()) | change
    (tmp_path / SELECTION).write_text(json.dumps(content))
    with pytest.raises(PlanError) as fault:
        choose_models(tmp_path)
    assert said in str(fault.value) and str(tmp_path / SELECTION) in str(fault.value)
    assert any(word in fault.value.remedy for word in ("autospine select", "use the version", "remove the key"))
