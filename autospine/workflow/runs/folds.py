"""The folds of a run, `splits.json`: they keep people and identical images together, and may be edited by hand."""

from __future__ import annotations

from collections.abc import Sequence

from autospine.data.folds import Fold, check_folds, group_cases, make_folds, read_folds, write_folds
from autospine.errors import DataError
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.workflow.runs.folder import RunFolder


def folds_for(run: RunFolder, fingerprint: Fingerprint) -> tuple[Fold, ...]:
    """The folds of a plan that is made: five of ours, or those that the user has edited.

    Raises:
        DataError: edited folds do not fit the data, or leave cases out.
    """
    made = _make(fingerprint)
    if not run.splits.exists() or not run.fingerprint.exists():
        return made
    standing = read_folds(run.splits)
    if standing == _make(run.read_fingerprint()):
        return made  # nobody has edited them, and the data may have changed
    check_fit(standing, fingerprint, run)
    used = {case for fold in standing for case in (*fold.train, *fold.validation)}
    unused = sorted({case.case for case in fingerprint.cases} - used)
    if unused:
        found = f"these edited folds leave out {', '.join(unused)}"
        remedy = "add them, or delete the file to have folds made"
        raise DataError(str(run.splits), found, "every case in a fold", remedy)
    return standing


def standing_folds(run: RunFolder) -> tuple[Fold, ...]:
    """The folds of a plan that stands; they are made again where their file was deleted."""
    if not run.splits.exists():
        write_folds(run.splits, _make(run.read_fingerprint()))
    return read_folds(run.splits)


def check_fit(folds: Sequence[Fold], fingerprint: Fingerprint, run: RunFolder) -> None:
    """Raise `DataError` where `folds`, which the user may have edited, do not fit the cases and subjects."""
    subjects, digests = fingerprint.subjects, fingerprint.digests
    check_folds(folds, subjects, group_cases(subjects, digests), str(run.splits))


def _make(fingerprint: Fingerprint) -> tuple[Fold, ...]:
    """The folds of a data set by its subjects, the digests of its images and the classes that each case has."""
    present = {
        case.case: {index for index, voxels in enumerate(case.class_voxels) if voxels} for case in fingerprint.cases
    }
    return make_folds(fingerprint.subjects, fingerprint.digests, present)
