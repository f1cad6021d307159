"""Overlapping regions from a dataset.json to a segmentation and its scores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autospine.data.dataset import open_dataset
from autospine.data.structure import Label, Reading, Region
from autospine.data.volume import read_volume
from autospine.evaluation.folders import evaluate_folders
from autospine.planning.document.model_file import WEIGHTS
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.train import TrainRequest, train_folds


@pytest.fixture
def regional(toy_dataset: Path, tmp_path: Path) -> Path:
    """The toy dataset, which has labels 1 and 3, as one region of both and one of the lower alone."""
    root = Path(shutil.copytree(toy_dataset, tmp_path / "regional"))
    content = json.loads((root / "dataset.json").read_text())
    content["labels"] = {"background": 0, "both": [1, 3], "lower": 3}
    content["regions_class_order"] = [1, 3]
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def test_regions_from_end_to_end(regional: Path, toy_recipe: Path, tmp_path: Path) -> None:
    dataset = open_dataset(regional, Reading())
    assert dataset.labels == (Label("label_1", 1), Label("lower", 3))
    assert dataset.regions == (Region("both", (1, 3), 1), Region("lower", (3,), 3))

    runs = tmp_path / "runs"
    plan_dataset(regional, runs, PlanRequest(recipe=str(toy_recipe), device="cpu"))
    (trained,) = train_folds(regional, "0", runs, TrainRequest(device="cpu", workers=0))
    assert trained.metrics is not None and set(trained.metrics["classes"]) == {"both", "lower"}
    history = (trained.folder / "history.csv").read_text().splitlines()[0]
    assert "both" in history and "lower" in history

    # the segmentations of the validation are scored again from their files, by the regions that dataset.json declares
    names = [case["case"] for case in trained.metrics["cases"]]
    references = tmp_path / "labelsTr"
    references.mkdir()
    shutil.copy(regional / "dataset.json", tmp_path)
    for name in names:
        shutil.copy(regional / "labelsTr" / f"{name}.nii.gz", references)
    again = evaluate_folders(trained.folder / "validation", references)
    assert again.classes == ("both", "lower")
    assert again.mean() == pytest.approx(trained.metrics["mean"]["dice"], abs=1e-6)

    predict_paths(regional / "imagesTr", tmp_path / "out", runs, PredictRequest(device="cpu"))
    first = read_volume(tmp_path / "out" / f"{names[0]}.nii.gz").array
    np.testing.assert_array_equal(first, read_volume(trained.folder / "validation" / f"{names[0]}.nii.gz").array)

    # the wide region alone is written as its own value, the narrow one over it, and neither as background
    for number, (wide, narrow, value) in enumerate(((1.0, -1.0, 1), (1.0, 1.0, 3), (-1.0, 1.0, 3), (-1.0, -1.0, 0))):
        weights = {name: torch.zeros_like(tensor) for name, tensor in load_file(trained.folder / WEIGHTS).items()}
        weights["heads.0.bias"] = torch.tensor([wide, narrow])
        save_file(weights, trained.folder / WEIGHTS)
        made = predict_paths(regional / "imagesTr", tmp_path / str(number), runs, PredictRequest(device="cpu"))
        assert {int(found) for path in made.files for found in np.unique(read_volume(path).array)} == {value}
