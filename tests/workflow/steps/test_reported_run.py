"""A run folder with what trainings leave in it, made by hand: what is gathered of it for its page."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autospine.data.disk.files import write_json, write_text
from autospine.data.disk.tables import read_rows
from autospine.errors import PlanError
from autospine.preprocessing.prepare import prepare_case
from autospine.preprocessing.store import StoredCase
from autospine.workflow.progress import Silent
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.prepared import ensure_prepared
from autospine.workflow.steps.reported_run import (
    classes_of,
    fold_folders,
    gather_run,
    on_own_grid,
)
from tests.workflow.trained_by_hand import put_fold


def quiet(doing: str, share: float) -> None: ...


@pytest.fixture
def trained(run: RunFolder, toy_dataset: Path) -> RunFolder:
    """Fold 0 of 2d: its two validation cases are predicted as their references, the second shifted by a voxel."""
    put_fold(run, toy_dataset, "2d", 0)
    return run


def test_what_is_gathered(trained: RunFolder, toy_dataset: Path) -> None:
    write_json(trained.root / "selection.json", {"schema": 1, "members": ["2d"]})
    table = "case,picture\ntoy_00,pictures/toy_00.png\ntoy_01,../../2d/toy_01.png\ntoy_02,gone.png\ntoy_03,\n"
    write_text(trained.root / "audit" / "worklist.csv", table)
    for path in (trained.root / "audit" / "pictures" / "toy_00.png", trained.root.parent / "2d" / "toy_01.png"):
        path.parent.mkdir()
        Image.new("RGB", (1800, 20)).save(path)
    found = gather_run(trained, None, toy_dataset, 5, quiet)
    assert found.configuration == "2d" and found.planned_folds == 3
    assert [fold.name for fold in found.folds] == ["0"] and found.folds[0].fast == (0.9, 0.8)
    assert [case.case for case in found.scores.cases] == ["toy_00", "toy_03"]
    assert found.folds[0].history["dice_upper"][:1] == [0.5] and math.isnan(found.folds[0].history["dice_upper"][1])
    assert found.folds[0].expected_dice == {"toy_00": {"upper": pytest.approx(2 * 80 / (100 + 90))}}
    assert [row["case"] for row in found.worklist] == ["toy_00", "toy_01", "toy_02", "toy_03"]
    # what lies outside of the audit's folder is not shown
    assert [(one.caption, one.width, one.height) for one in found.worklist_pictures] == [("toy_00", 900, 10)]
    assert [viewer.name for viewer in found.viewers] == ["toy_03", "toy_00"]
    assert [panel.title for panel in found.viewers[0].panels] == ["Image", "Reference", "Prediction", "Error"]
    assert "autospine train toy 0 -c 2d" in found.commands
    assert not any(str(toy_dataset.parent) in command for command in found.commands)


def test_images_come_from_prepared_cases_where_the_data_set_is_not_at_hand(
    trained: RunFolder, toy_dataset: Path
) -> None:
    assert gather_run(trained, None, toy_dataset.with_name("gone"), 5, quiet).viewers == ()
    plan = trained.read_plan()
    ensure_prepared(toy_dataset, trained, plan, plan.configuration("2d"), Silent(), 0)
    found = gather_run(trained, "2d", None, 5, quiet)
    assert len(found.viewers) == 2 and len(found.sheet) == 6
    assert found.sheet[0].caption == "toy_00" and max(found.sheet[0].width, found.sheet[0].height) == 200
    assert gather_run(trained, "2d", None, 0, quiet).viewers == ()


def test_a_prepared_image_back_on_its_own_grid(trained: RunFolder) -> None:
    configuration = trained.read_plan().configuration("2d")
    image = np.zeros((1, 12, 10, 14), np.float32)
    image[0, 2:10, 1:9, 3:13] = np.linspace(1, 2, 8)[:, None, None]
    prepared = prepare_case(image, None, (1.5, 4.0, 1.0), configuration, trained.read_plan().data.intensities, "x")
    back = on_own_grid(StoredCase.of_image(prepared.image, prepared.properties), configuration)
    assert back.shape == (12, 10, 14)
    inside = back[2:10, 1:9, 3:13].mean(axis=(1, 2))
    assert (np.diff(inside) > 0).all()  # brighter towards superior, as it was
    assert (back[:2] == back.min()).all() and (back[:, 9:] == back.min()).all()


def test_which_configuration(trained: RunFolder, toy_dataset: Path) -> None:
    assert gather_run(trained, None, None, 0, quiet).configuration == "2d"  # the only one
    put_fold(trained, toy_dataset, "3d_fullres", 1)
    assert gather_run(trained, None, None, 0, quiet).configuration == "3d_fullres"  # the plan's default
    assert gather_run(trained, "2d", None, 0, quiet).configuration == "2d"
    write_json(trained.root / "selection.json", {"schema": 1, "members": ["2d", "3d_fullres"]})
    found = gather_run(trained, None, None, 0, quiet)
    assert found.configuration == "2d"
    assert [(one.name, one.folds, one.cases) for one in found.others] == [("2d", 1, 2), ("3d_fullres", 1, 2)]
    with pytest.raises(PlanError, match="no fold of it is trained"):
        gather_run(trained, "3d_lowres", None, 0, quiet)


def test_nothing_trained(run: RunFolder) -> None:
    with pytest.raises(PlanError, match="nothing is trained"):
        gather_run(run, None, None, 5, quiet)


def test_a_document_that_is_none_is_named(trained: RunFolder) -> None:
    write_text(trained.root / "selection.json", "[1]")
    with pytest.raises(PlanError, match="selection.json"):
        gather_run(trained, None, None, 5, quiet)


def test_folds_in_their_order(tmp_path: Path) -> None:
    for name in ("fold_10", "fold_2", "fold_1"):
        write_text(tmp_path / name / "run.toml", "")
    (tmp_path / "fold_3").mkdir()
    assert [path.name for path in fold_folders(tmp_path)] == ["fold_1", "fold_2", "fold_10"]


def test_rows_and_classes(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "none.csv", PlanError) == ()
    write_text(tmp_path / "a.csv", "case,flags\na,\nb\n")
    assert read_rows(tmp_path / "a.csv", PlanError) == ({"case": "a", "flags": ""}, {"case": "b", "flags": ""})
    assert classes_of(np.array([0, 3, 1, 7]), (("a", 1), ("b", 3))).tolist() == [0, 2, 1, 0]
