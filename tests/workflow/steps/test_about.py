"""What is told of a model at the beginning of its training, and of one that was trained before that was told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pydicom.dataset import FileDataset

from autospine import __version__
from autospine.data.dataset import open_dataset
from autospine.data.structure import Case, Reading
from autospine.inference.loading import load_stages
from autospine.planning.document.about import About, read_about, write_about
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import read_model
from autospine.planning.measured.fingerprint import extract_fingerprint
from autospine.planning.measured.trained_on import shared_descriptions
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.steps import about as module
from autospine.workflow.steps.about import about_training, trained_before, trained_on_of
from tests.data.dicom_files import PATIENT, write_series
from tests.data.sagittal_series import ARRAY, GRID
from tests.workflow.predicting import made_model


@pytest.fixture
def measured(run: RunFolder, toy_dataset: Path) -> RunFolder:
    """The run with its fingerprint."""
    run.fingerprint.write_text(json.dumps(extract_fingerprint(open_dataset(toy_dataset)).to_json()))
    return run


def test_a_training_says_what_it_learns_from(measured: RunFolder, toy_dataset: Path) -> None:
    told = about_training(measured, toy_dataset)
    seen = told.trained_on
    assert seen is not None
    assert (seen.cases, seen.slices, seen.descriptions) == (6, "coronal", ())
    assert seen.spacing_mm == ((1.5, 4.0, 1.0),) * 3
    assert seen.shape == ((20.0, 10.0, 26.0), (21.0, 10.0, 26.0), (22.0, 10.0, 26.0))
    assert (told.autospine, told.torch) == (__version__, torch.__version__)
    assert told.date is not None and abs((date.fromisoformat(told.date) - date.today()).days) <= 1
    elsewhere = toy_dataset.with_name("moved")
    assert about_training(measured, elsewhere).trained_on == seen
    called = replace(seen, descriptions=("t2_sag",))  # by a training of another fold, where the images were at hand
    assert about_training(measured, elsewhere, About(called)).trained_on == called
    assert about_training(measured, elsewhere, About(replace(called, cases=5))).trained_on == seen
    measured.fingerprint.unlink()
    assert about_training(measured, toy_dataset).trained_on is None


def test_a_model_of_before_is_told_of_by_the_fingerprint_beside_it(
    measured: RunFolder, toy_dataset: Path, configuration: Configuration
) -> None:
    model = made_model(measured.root / "2d", configuration, 0)
    predictor = load_stages(model, torch.device("cpu"))
    assert predictor.origin.about is None
    assert trained_on_of(model, predictor) is None  # of other labels
    content = json.loads(measured.fingerprint.read_text())
    content["labels"] = [list(label) for label in predictor.card.data.labels]
    measured.fingerprint.write_text(json.dumps(content))
    seen = trained_before(model, read_model(model).data)
    assert seen is not None and seen.cases == 6 and trained_on_of(model, predictor) == seen
    write_about(model, about_training(measured, toy_dataset))
    again = load_stages(model, torch.device("cpu"))
    assert again.origin.about == read_about(model) and trained_on_of(model, again) == seen
    measured.fingerprint.unlink()
    assert trained_on_of(model, again) is None and trained_on_of(model, predictor) is None
    write_about(model, About(seen))
    assert trained_on_of(model, load_stages(model, torch.device("cpu"))) == seen


def test_series_are_called_what_several_are(tmp_path: Path) -> None:
    """No name of a patient is among them, nor what is no series."""

    def called(text: str) -> object:
        def change(index: int, header: FileDataset) -> None:
            header.SeriesDescription = text

        return change

    folders = [tmp_path / name for name in "abc"]
    for folder, text in zip(folders, ("t2_tse_sag", "t2_tse_sag", "Doe, J. again"), strict=True):
        write_series(folder, ARRAY, GRID, change=called(text))  # type: ignore[arg-type]
    image = tmp_path / "image.nii.gz"
    image.write_bytes(np.zeros(4).tobytes())
    (tmp_path / "empty").mkdir()
    described = list(module._described([*folders, image, tmp_path / "empty"]))
    assert described == ["t2_tse_sag", "t2_tse_sag", "Doe, J. again"] and PATIENT not in described


def test_what_the_series_of_one_person_are_called_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was typed in stands in every series of that patient."""
    cases = [
        Case("one", (tmp_path / "1a", tmp_path / "1b"), None, "Doe"),
        Case("later", (tmp_path / "1c",), None, "Doe"),
        Case("two", (tmp_path / "2a", None), None),
    ]
    called = {"1a": "Doe spine", "1b": "Doe spine", "1c": "t2_tse_sag", "2a": "t2_tse_sag"}
    monkeypatch.setattr("autospine.data.dataset.open_dataset", lambda *_: SimpleNamespace(cases=cases))
    monkeypatch.setattr(module, "_described", lambda series: [called[path.name] for path in series])
    told = module._descriptions(tmp_path, Reading())
    assert sorted(told) == ["Doe spine", "t2_tse_sag", "t2_tse_sag"]
    assert shared_descriptions(told) == ("t2_tse_sag",)
