"""Fast and exact predictions from end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from autospine.inference.predictor import Origin, Predictor
from autospine.machine.device import describe_device
from autospine.planning.document.configuration import Configuration
from autospine.workflow.predict import _tell_how
from autospine.workflow.runs.fast import FastCost
from autospine.workflow.steps.segmenting import Segmenter
from tests.cards import card_of
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


def test_each_stage_of_a_cascade_says_what_it_computes_in(
    tmp_path: Path, make_configuration: Callable[..., Configuration]
) -> None:
    configuration = make_configuration()
    cpu, origin = torch.device("cpu"), Origin(("0",))
    first = Predictor(
        card_of(replace(configuration, name="3d_lowres")), (nn.Identity(),), cpu, precision="bfloat16", origin=origin
    )
    both = Predictor(card_of(configuration), (nn.Identity(),), cpu, precision="float32", origin=origin, previous=first)
    computed = _tell_how(Segmenter(tmp_path, both, "model"), 1, lambda note: None)
    assert computed == f"{describe_device(cpu, 'float32')}; 3d_lowres: bfloat16"
