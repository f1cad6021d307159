"""Run folders that several tests of the command line look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.calling import Run, call


@pytest.fixture(scope="session")
def trained(toy_dataset: Path, toy_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    runs = tmp_path_factory.mktemp("runs")
    planned = call("plan", toy_dataset, "--recipe", toy_recipe, "--runs", runs)
    assert planned.exit_code == 0, planned.output
    result = call("train", toy_dataset, 0, "--runs", runs, "--device", "cpu")
    assert result.exit_code == 0, result.output
    yield Run(toy_dataset, runs)


@pytest.fixture(scope="module")
def planned(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the toy dataset is planned and prepared."""
    runs = Path(shutil.copytree(trained.runs, tmp_path_factory.mktemp("planned") / "runs"))
    shutil.rmtree(runs / "toy" / "3d_fullres" / "fold_0")
    return runs


@pytest.fixture
def fold(planned: Path) -> Iterator[Path]:
    """Where fold 0 is trained, afresh."""
    place = planned / "toy" / "3d_fullres" / "fold_0"
    shutil.rmtree(place, ignore_errors=True)
    yield place
