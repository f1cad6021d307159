"""Fast and exact predictions from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from autospine.machine.device import describe_device
from autospine.planning.document.configuration import Configuration
from autospine.workflow.runs.fast import FastCost
from tests.workflow.predicting import made_model, predict, refused


def test_a_fast_prediction_says_what_it_costs_and_is_another_ones(
    images: Path, tmp_path: Path, configuration: Configuration
) -> None:
    model = made_model(tmp_path / "model", configuration, 0, ("0", "1"))
    FastCost(0.902, 0.887, 8).write(model / "fold_0")
    done, notes = predict(images, tmp_path / "out", model, fast=True)
    assert done.folds == ("0",)
    assert any("Dice 0.887 instead of 0.902 on the 8 validation case(s) of fold 0" in note for note in notes)
    # what the whole model makes are other masks: these are not taken for its own
    assert "another model" in refused(images, tmp_path / "out", model)


def test_a_fast_prediction_with_several_folds_is_refused_before_anything_is_made(
    images: Path, tmp_path: Path, configuration: Configuration
) -> None:
    model = made_model(tmp_path / "model", configuration, 0, ("0", "1"))
    assert "beside --folds 0,1" in refused(images, tmp_path / "out", model, fast=True, folds=("0", "1"))
    assert not (tmp_path / "out").exists()


def test_an_exact_prediction_is_torchs_in_float32(images: Path, tmp_path: Path, configuration: Configuration) -> None:
    model = made_model(tmp_path / "model", configuration, 0)
    predict(images, tmp_path / "out", model, exact=True)
    device = json.loads((tmp_path / "out" / "prediction.json").read_text())["device"]
    assert device == describe_device(torch.device("cpu"), "float32")
