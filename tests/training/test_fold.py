from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autospine.data.folds import Fold
from autospine.planning.document.configuration import Configuration
from autospine.preprocessing.store import Store
from tests.training.trainings import train


def test_no_validation_cases_no_validation(small_store: Store, quick: Configuration, tmp_path: Path) -> None:
    short = replace(quick, training=replace(quick.training, epochs=1))
    result = train(short, small_store, tmp_path / "fold", Fold(("a",), ()))
    assert result.history[0].validation_loss is None
    assert result.history[0].dice == ()
