"""`autospine select` from the command line, and the prediction that uses what it chose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.calling import Run, call, refused, text


@pytest.fixture
def own(trained: Run, tmp_path: Path) -> Run:
    """A copy of the trained run, which other tests look at."""
    shutil.copytree(trained.runs, tmp_path / "runs")
    return Run(trained.dataset, tmp_path / "runs")


def test_select_and_predict(own: Run, tmp_path: Path) -> None:
    before = {path.name for path in own.runs.rglob("metrics.json")}
    chosen = call("select", own.dataset, "--runs", own.runs, "--device", "cpu")
    assert chosen.exit_code == 0, chosen.output
    said = text(chosen).replace(" ", "")
    assert "Selected:3d_fullres" in said and "Fewerthan6subjects" in said
    content = json.loads((own.runs / "toy" / "selection.json").read_text())
    assert content["members"] == ["3d_fullres"] and content["schema"] == 1
    assert {path.name for path in own.runs.rglob("metrics.json")} == before
    image = own.dataset / "imagesTr" / "toy_00_0000.nii.gz"
    made = call("predict", image, tmp_path / "a.nii.gz", "--runs", own.runs, "--device", "cpu", "--no-postprocessing")
    assert made.exit_code == 0 and "Selected: 3d_fullres, Dice" in text(made)


def test_what_cannot_be_chosen_is_one_message(own: Run) -> None:
    refused(call("select", own.dataset, "--runs", own.runs, "-c", "2d"), "nofoldof2dis", "autospinetrain")
    refused(call("select", own.dataset, "--runs", own.runs / "nowhere"), "hasnotbeenplanned")
    assert call("select").exit_code == 2
