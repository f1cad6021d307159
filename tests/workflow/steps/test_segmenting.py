"""The model that a prediction loads: what its record says is true of it, also where it is trained meanwhile."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autospine.data.disk.files import file_digest
from autospine.errors import DataError, PlanError
from autospine.inference import loading, predictor
from autospine.inference.predictor import Origin
from autospine.inference.segmentation import Wanted
from autospine.inference.settings import Settings
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import BEST, MODEL, WEIGHTS, write_model
from autospine.workflow.progress import Silent
from autospine.workflow.runs.selection import Chosen
from autospine.workflow.steps import segmenting, turns
from autospine.workflow.steps.outputs import Outputs
from autospine.workflow.steps.segmenting import _describe_choice, load_segmenter
from tests.workflow.predicting import contents, made_model, predict, refused
from tests.workflow.runs.test_selection import selection_of


def test_what_is_recorded_is_the_model_that_was_loaded(
    model: Path, images: Path, tmp_path: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training ends while its best weights are read; its last ones are loaded, and their digest is kept."""
    fold, real, last = model / "fold_0", loading.load_network, tmp_path / "last"
    predict(images / "a.nii.gz", tmp_path / "expected" / "a.nii.gz", model)
    (fold / WEIGHTS).rename(last)
    best = made_model(tmp_path / "models" / "b", configuration, 1) / "fold_0" / WEIGHTS

    def begin() -> None:
        (fold / WEIGHTS).unlink(missing_ok=True)
        shutil.copy(best, fold / BEST)

    def ending(path: Path, *more: Any, before: bool) -> torch.nn.Module:
        if path.name != BEST:
            return real(path, *more)
        network = None if before else real(path, *more)
        shutil.copy(last, fold / WEIGHTS)
        path.unlink()
        return network or real(path, *more)

    for before in (False, True):
        begin()
        monkeypatch.setattr(loading, "load_network", partial(ending, before=before))
        out = tmp_path / f"{before}" / "a.nii.gz"
        _, notes = predict(images / "a.nii.gz", out, model)
        assert not any("not trained to its end" in note for note in notes)
        assert contents(out.parent) == contents(tmp_path / "expected")

    def changing(path: Path, *more: Any) -> torch.nn.Module:
        network = real(path, *more)
        save_file(load_file(path), path, {"time": str(time.monotonic_ns())})
        return network

    monkeypatch.setattr(loading, "load_network", changing)
    with pytest.raises(PlanError, match="changed each time while it was read"):
        load_segmenter(model, torch.device("cpu"), Settings(mirror=False))


def test_a_card_that_is_written_meanwhile_is_read_again(
    model: Path, monkeypatch: pytest.MonkeyPatch, configuration: Configuration
) -> None:
    real, cards = loading.read_model, [0.25, 0.75]
    first = load_segmenter(model, torch.device("cpu"), Settings(mirror=False))

    def renewed(folder: Path) -> ModelCard:
        card = real(folder)
        if cards:
            write_model(folder, replace(card, configuration=replace(card.configuration, overlap=cards.pop())))
        return card

    monkeypatch.setattr(loading, "read_model", renewed)
    segmenter = load_segmenter(model, torch.device("cpu"), Settings(mirror=False))
    assert segmenter.predictor.card == real(model) and segmenter.predictor.card.configuration.overlap == 0.25
    assert segmenter.predictor.origin.digests[0] == file_digest(model / MODEL) and segmenter.identity != first.identity


def test_copies_of_folds_are_no_folds_and_a_fold_counts_once(
    images: Path, tmp_path: Path, configuration: Configuration
) -> None:
    model = made_model(tmp_path / "models" / "b", configuration, 1, ("0", "1"))
    for name in ("fold_0 (copy)", "fold_0_old", "fold_"):
        shutil.copytree(model / "fold_0", model / name)
    assert predict(images / "a.nii.gz", tmp_path / "all.nii.gz", model)[0].folds == ("0", "1")
    assert predict(images / "a.nii.gz", tmp_path / "0.nii.gz", model, folds=("0", "0"))[0].folds == ("0",)


def test_a_limit_of_memory_is_held_before_a_case_is_read(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = load_segmenter(model, torch.device("cpu"), Settings(mirror=False, memory_bytes=3 * 10**9))
    assert segmenter.predictor.memory_bytes == 3 * 10**9
    monkeypatch.setattr(predictor, "resident_bytes", lambda: 2_999_999_999)
    for reading in (segmenting, turns):
        monkeypatch.setattr(reading, "read_case", lambda images: pytest.fail("it was read"))
    with pytest.raises(DataError, match=r"a: it needs up to 0\.\d GB beside the 3\.0 GB[\s\S]*--memory"):
        segmenter.segment("a", (images / "a.nii.gz",), "a", Silent())
    said = refused(images / "a.nii.gz", tmp_path / "a.nii.gz", model, memory_gb=3.0)
    assert "what fits into 3.0 GB" in said


def test_what_is_wanted_beside_labels_is_made_or_refused(model: Path, images: Path) -> None:
    wanted = Wanted(probabilities=True, uncertainty=True)
    mirrored = load_segmenter(model, torch.device("cpu"), Settings())
    made = mirrored.segment("a", (images / "a.nii.gz",), "a", Silent(), wanted=wanted)
    assert made.uncertainty is not None and made.probabilities is not None
    assert made.probabilities.array.shape == (4, *made.labels.array.shape[1:])
    alone = load_segmenter(model, torch.device("cpu"), Settings(mirror=False))
    with pytest.raises(DataError, match="one fold without mirroring"):
        alone.segment("a", (images / "a.nii.gz",), "a", Silent(), wanted=wanted)


def test_an_uncertainty_that_nobody_can_tell_is_refused_once_and_before_anything_is_read(
    model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "read_case", lambda images: pytest.fail("it was read"))
    said = refused(images, tmp_path / "out", model, outputs=Outputs(uncertainty=True))
    assert "one fold without mirroring" in said and "could not be segmented" not in said
    assert not (tmp_path / "out").exists()


def test_what_was_selected_is_told_with_what_it_is_worth_to_others(tmp_path: Path) -> None:
    """The choice looks best on the cases that chose it (0.9); on others it has 0.8."""
    chosen = Chosen(tmp_path / "2d", (tmp_path / "2d",), selection_of("2d"))
    model: Any = SimpleNamespace(origin=Origin(("0",), (), ("card", "aa")))
    assert _describe_choice(chosen, [model]) == ("Selected: 2d, Dice 0.800 out of fold",)
