from __future__ import annotations

import json
from pathlib import Path

import pytest

from autospine.errors import DataError
from autospine.workflow.evaluate import evaluate_paths, write_scores


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
