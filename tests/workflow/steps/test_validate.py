"""The end of a training: what is damaged is listed together, and an image that is gone costs its segmentation alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.data.dataset import load_case, open_dataset
from autospine.data.folds import Fold, read_folds
from autospine.data.structure import IGNORED, Reading
from autospine.errors import PlanError
from autospine.evaluation.metrics import METRICS
from autospine.evaluation.score import Scores, score_cases
from autospine.inference.loading import load_model
from autospine.preprocessing.store import IMAGE, Store, case_file
from autospine.workflow.runs.fast import FastCost
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps.validate import measure_fast, segmentation_writer, validate_fold
from autospine.workflow.train import TrainRequest, train_fold
from tests.workflow.conftest import Noting


def test_damaged_cases_are_listed_together_and_the_others_are_written(run: RunFolder, toy_dataset: Path) -> None:
    request = TrainRequest("2d", device="cpu", workers=0)
    folder = train_fold(toy_dataset, 0, run.root.parent, request).folder
    content = json.loads((folder / "metrics.json").read_text())
    assert content["cases"] and tuple(content["mean"]) == METRICS
    assert content["intervals"]["subjects"] == len(content["cases"])
    store = Store(run.prepared("2d"))
    split = read_folds(run.splits)[0]
    whole = Fold(split.train[:-2], (*split.validation, *split.train[-2:]))
    for name in split.validation:
        case_file(store.root, name, IMAGE).write_bytes(b"cut off")
    written: list[str] = []
    with pytest.raises(PlanError) as fault:
        validate_fold(
            run.model("2d"),
            0,
            whole,
            store,
            lambda name, labels: written.append(name),
            torch.device("cpu"),
            Noting(),
        )
    assert all(f"the prepared case {name!r} is missing or damaged" in fault.value.found for name in split.validation)
    assert written == list(split.train[-2:])


def test_an_image_that_cannot_be_read_any_more_costs_its_segmentation_alone(
    run: RunFolder, toy_dataset: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(toy_dataset, tmp_path / "toy")
    plan, noting = run.read_plan(), Noting()
    card = plan.card("2d")
    write = segmentation_writer(copy, Reading(), tmp_path / "out", card, noting)
    (copy / "imagesTr" / "toy_01_0000.nii.gz").write_bytes(b"nothing")
    for name in ("toy_00", "toy_01"):
        dataset = open_dataset(toy_dataset)
        case = next(case for case in dataset.cases if case.name == name)
        write(name, np.zeros(load_case(dataset, case).image.array.shape[1:], np.uint8))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["toy_00.nii.gz"]
    assert len(noting.notes) == 1 and "toy_01 is scored, not written" in noting.notes[0]


def test_what_a_fast_prediction_costs_is_measured_on_the_same_cases(run: RunFolder, toy_dataset: Path) -> None:
    folder = train_fold(toy_dataset, 0, run.root.parent, TrainRequest("2d", device="cpu", workers=0)).folder
    cost, whole = FastCost.read(folder), json.loads((folder / "metrics.json").read_text())
    assert cost is not None
    assert cost.whole == whole["mean"]["dice"] and cost.cases == len(whole["cases"])
    # by hand: the network of the fold, its mirrorings left out, tiles that overlap less
    model = load_model(run.model("2d"), torch.device("cpu"), ("0",))
    configuration = model.card.configuration
    card = model.card.with_configuration(replace(configuration, overlap=min(configuration.overlap, 0.25)))
    fast, store = replace(model, mirror=False, card=card), Store(run.prepared("2d"))
    cases = ((name, store.open(name)) for name in read_folds(run.splits)[0].validation)
    scored = [
        (name, fast.labels(case), np.asarray(case.reference), case.properties.canonical_spacing_mm)
        for name, case in cases
    ]
    assert cost.fast == pytest.approx(score_cases(scored, card.data.scored, IGNORED).mean(), abs=1e-9)

    noting, found = Noting(), Scores((), ())
    given = (read_folds(run.splits)[0], store, torch.device("cpu"), noting, None, found)
    assert measure_fast(run.model("2d"), 0, *given, seconds=3600.0) is None
    assert noting.notes == ["What --fast costs in Dice is not measured: the validation took 60 min"]
