from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.dataset import open_dataset
from autospine.data.disk.files import write_json
from autospine.data.folds import Fold, read_folds, write_folds
from autospine.errors import DataError
from autospine.planning.measured.fingerprint import Fingerprint, extract_fingerprint
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.runs.folds import check_fit, folds_for, standing_folds


@pytest.fixture
def fingerprint(toy_dataset: Path) -> Fingerprint:
    return extract_fingerprint(open_dataset(toy_dataset))


@pytest.fixture
def planned(fingerprint: Fingerprint, tmp_path: Path) -> RunFolder:
    """A run folder with folds and fingerprint."""
    run = RunFolder(tmp_path / "runs" / "toy")
    write_folds(run.splits, folds_for(run, fingerprint))
    write_json(run.fingerprint, fingerprint.to_json())
    return run


def test_five_folds_are_made_and_made_again(planned: RunFolder, fingerprint: Fingerprint) -> None:
    folds = read_folds(planned.splits)
    assert len(folds) == 5 and standing_folds(planned) == folds
    planned.splits.unlink()
    assert standing_folds(planned) == folds
    # of other data other ones, since nobody has edited these
    fewer = replace(fingerprint, cases=fingerprint.cases[:3])
    assert {case for fold in folds_for(planned, fewer) for case in fold.validation} == set(fewer.subjects)


def test_edited_folds_stay_where_they_fit(planned: RunFolder, fingerprint: Fingerprint) -> None:
    first, *others = read_folds(planned.splits)
    edited = (Fold(first.train, ()), *others)
    write_folds(planned.splits, edited)
    assert folds_for(planned, fingerprint) == edited
    write_folds(planned.splits, (first,) if set(first.train) == set(fingerprint.subjects) else (Fold(first.train, ()),))
    with pytest.raises(DataError, match="these edited folds leave out"):
        folds_for(planned, fingerprint)
    both = Fold((*first.train, *first.validation), first.validation)
    with pytest.raises(DataError, match="trains and validates"):
        check_fit((both,), fingerprint, planned)
