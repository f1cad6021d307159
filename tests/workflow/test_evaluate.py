from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.not_to_segment import PREDICTED, record_beside
from autospine.errors import DataError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.model_file import write_model
from autospine.workflow.evaluate import evaluate_paths, levels_of_model, write_scores
from autospine.workflow.runs.selection import write_selection
from tests.cards import card_of
from tests.workflow.runs.test_selection import selection_of


def test_masks_against_themselves_in_a_file_beside_them_or_where_it_is_asked(toy_dataset: Path, tmp_path: Path) -> None:
    masks = toy_dataset / "labelsTr"
    scores = evaluate_paths(masks, masks)
    assert scores.to_json()["mean"]["dice"] == 1.0
    asked = write_scores(scores, masks, tmp_path / "mine.json")
    assert asked == tmp_path / "mine.json"
    assert json.loads(asked.read_text())["mean"]["dice"] == 1.0
    assert write_scores(scores, tmp_path, None) == tmp_path / "metrics.json"
    single = tmp_path / "one.nii.gz"
    single.write_bytes(next(masks.iterdir()).read_bytes())
    assert write_scores(scores, single, None) == tmp_path / "metrics.json"


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        evaluate_paths(tmp_path, tmp_path)


def test_what_is_asked_for_is_measured(toy_dataset: Path) -> None:
    masks = toy_dataset / "labelsTr"
    with pytest.raises(DataError, match="does not match subjects"):
        evaluate_paths(masks, masks, subjects=r"toy_0([0-2])")
    content = evaluate_paths(masks, masks, distances=False, lesions=True, subjects=r"toy").to_json()
    assert "hd95_mm" not in content["mean"] and content["lesions"]["upper"]["dice"] == 1.0
    assert content["intervals"]["subjects"] == 1 and len(content["subjects"]["subjects"]) == 1
    assert evaluate_paths(masks, masks, tolerance_mm=2.0).to_json()["tolerance_mm"] == 2.0


def test_levels_are_those_of_the_model_that_predicted(
    tmp_path: Path, make_configuration: Callable[..., Configuration]
) -> None:
    card = card_of(make_configuration(), labels=(("b", 3), ("a", 1), ("c", 2)))
    levels = LevelsPlan((2, 1, 3), 0, 1.5, (0.5, 0.5))
    model, out = tmp_path / "model", tmp_path / "out"
    out.mkdir()
    assert levels_of_model(out) == ()
    (out / PREDICTED).write_text(json.dumps({"model": "x", "folder": str(model)}))
    assert levels_of_model(out) == ()
    write_model(model, card)
    assert levels_of_model(out) == ()
    write_model(model, replace(card, data=replace(card.data, levels=levels)))
    assert levels_of_model(out) == (("a", "b", "c"),)
    file = out / "one.nii.gz"
    file.write_bytes(b"")
    assert levels_of_model(file) == ()
    record_beside(file).write_text(json.dumps({"folder": str(model)}))
    assert levels_of_model(file) == (("a", "b", "c"),)
    # of an ensemble the record names the folder of the run
    run = tmp_path / "run"
    write_model(run / "2d", replace(card, data=replace(card.data, levels=levels)))
    write_selection(run, selection_of("2d", "3d_fullres"))
    (out / PREDICTED).write_text(json.dumps({"folder": str(run)}))
    assert levels_of_model(out) == (("a", "b", "c"),)
    (out / PREDICTED).write_text(json.dumps({"folder": str(model)}))
    (model / "model.json").write_text("{}")
    assert levels_of_model(out) == ()
    (out / PREDICTED).write_text("[]")
    assert levels_of_model(out) == ()
