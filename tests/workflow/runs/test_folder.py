"""Which model is meant where none is named, and which plan by a file, a folder or a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.expected import Estimated, Expected, write_expected
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import WEIGHTS, write_model
from autospine.planning.document.plan import Plan
from autospine.workflow.runs.folder import SELECTION, RunFolder, find_model, find_plan


def test_the_only_model_is_found_and_a_cascade_is_one(
    tmp_path: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    base = make_configuration()
    low = replace(base, name="3d_lowres")
    network = replace(base.network, in_channels=4)
    cascade = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)

    def trained(dataset: str, configuration: Configuration) -> Path:
        folder = tmp_path / dataset / configuration.name
        write_model(folder, ModelCard(make_plan().data, configuration))
        (folder / "fold_0").mkdir()
        (folder / "fold_0" / WEIGHTS).touch()
        return folder

    with pytest.raises(PlanError, match="no trained model here"):
        find_model(tmp_path)
    first = trained("one", low)
    assert find_model(tmp_path) == first
    second = trained("one", cascade)
    assert find_model(tmp_path) == second
    # the low resolution of another dataset belongs to no cascade
    other = trained("two", low)
    with pytest.raises(PlanError, match="2 models stand here") as fault:
        find_model(tmp_path)
    assert str(second) in fault.value.found and str(other) in fault.value.found
    assert str(first) not in fault.value.found


def test_a_plan_by_file_folder_and_name(run: RunFolder, tmp_path: Path) -> None:
    runs, known = run.root.parent, {"2d": Expected(1.0)}
    write_expected(run.expected, known)
    for place in (run.plan, run.root, Path("toy"), Path("anywhere/toy")):
        assert find_plan(place, runs) == Estimated(run.read_plan(), known)
    with pytest.raises(PlanError, match="no plan: .* is not there"):
        find_plan(tmp_path / "other", runs)


def test_a_run_with_a_selection_is_the_model(
    tmp_path: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    for name in ("2d", "3d_fullres"):
        configuration = make_configuration(**({"spacing_mm": (1.0, 1.0)} if name == "2d" else {}))
        write_model(tmp_path / "one" / name, ModelCard(make_plan().data, configuration))
        (tmp_path / "one" / name / "fold_0").mkdir()
        (tmp_path / "one" / name / "fold_0" / WEIGHTS).touch()
    with pytest.raises(PlanError, match="2 models stand here") as fault:
        find_model(tmp_path)
    assert "autospine select" in fault.value.remedy
    (tmp_path / "one" / SELECTION).write_text("{}")
    assert find_model(tmp_path) == tmp_path / "one"
    write_model(tmp_path / "two" / "3d_fullres", ModelCard(make_plan().data, make_configuration()))
    (tmp_path / "two" / "3d_fullres" / "fold_0").mkdir()
    (tmp_path / "two" / "3d_fullres" / "fold_0" / WEIGHTS).touch()
    with pytest.raises(PlanError, match="2 models stand here"):
        find_model(tmp_path)
