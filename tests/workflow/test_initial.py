"""`train --init`: from one data set to another, and never from what has seen the validation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.train import TrainRequest, train_folds
from tests.workflow.conftest import Noting


def test_a_training_starts_from_another(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    runs, progress = tmp_path / "runs", Noting()
    first = plan_dataset(toy_dataset, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    (trained,) = train_folds(toy_dataset, "0", runs, TrainRequest(device="cpu", workers=0))

    other = Path(shutil.copytree(toy_dataset, tmp_path / "other"))
    plan_dataset(other, runs, PlanRequest(source=first.folder.plan, device="cpu"))
    request = TrainRequest(device="cpu", workers=0, init=trained.folder)
    (moved,) = train_folds(other, "0", runs, request, progress=progress)
    assert [note for note in progress.notes if note.startswith("Starts from")] == [
        f"Starts from {trained.folder}: 100% of the encoder's weights. Decoder and heads start fresh"
    ]
    assert f'init = "{trained.folder}"' in (moved.folder / "run.toml").read_text()
    # the same command finds it trained, without the weights it is another training
    progress.notes.clear()
    list(train_folds(other, "0", runs, request, progress=progress))
    assert any("trained already" in note for note in progress.notes)
    with pytest.raises(PlanError, match="--init"):
        list(train_folds(other, "0", runs, TrainRequest(device="cpu", workers=0)))


def test_what_has_seen_the_validation_is_refused(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    plan_dataset(toy_dataset, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    (trained,) = train_folds(toy_dataset, "0", runs, TrainRequest(device="cpu", workers=0))
    request = TrainRequest(device="cpu", workers=0, init=trained.folder)
    with pytest.raises(PlanError, match=r"trained on toy_0\d[\s\S]*of the same fold"):
        list(train_folds(toy_dataset, "1", runs, request))
    assert not (runs / "toy" / "3d_fullres" / "fold_1" / "model.safetensors").exists()


def test_weights_that_do_not_fit_throw_nothing_away(toy_dataset: Path, toy_recipe: Path, tmp_path: Path) -> None:
    runs, wide = tmp_path / "runs", tmp_path / "wide"
    plan_dataset(toy_dataset, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    (trained,) = train_folds(toy_dataset, "0", runs, TrainRequest(device="cpu", workers=0))
    recipe = tmp_path / "wide.toml"
    recipe.write_text(toy_recipe.read_text().replace("= 8", "= 16").replace("base_features = 4", "base_features = 8"))
    plan_dataset(toy_dataset, wide, PlanRequest(recipe=str(recipe), device="cpu"))
    (other,) = train_folds(toy_dataset, "0", wide, TrainRequest(device="cpu", workers=0))
    before = (trained.folder / "model.safetensors").read_bytes()
    request = TrainRequest(device="cpu", workers=0, overwrite=True, init=other.folder)
    with pytest.raises(PlanError, match="of the encoder's weights fit"):
        list(train_folds(toy_dataset, "0", runs, request))
    assert (trained.folder / "model.safetensors").read_bytes() == before
    assert (trained.folder / "run.toml").is_file()
