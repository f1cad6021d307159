"""What is told of a model beside its card: at the beginning of its training, and again where it is exported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from autospine import __version__
from autospine.data.disk.files import read_json
from autospine.data.formats.dicom_files import dicom_files, is_dicom, open_header
from autospine.data.structure import Reading
from autospine.data.volume import suffix_of
from autospine.errors import DataError, PlanError
from autospine.planning.document.about import About
from autospine.planning.document.data import DataPlan
from autospine.planning.document.trained_on import TrainedOn
from autospine.planning.measured.fingerprint import Fingerprint
from autospine.planning.measured.trained_on import trained_on
from autospine.workflow.runs.folder import RunFolder

if TYPE_CHECKING:
    from autospine.inference.ensemble import Model

_SERIES = 500
"""Of which descriptions are read: what they are called is known by then, and a header on a network takes its time."""


def about_training(run: RunFolder, dataset: Path, before: About | None = None) -> About:
    """What a training on the run's data begins with, today and with this version.

    What series are called is known where the images are at hand; else it is what the model's folder has said `before`
    of the same cases.
    """
    data = run.read_plan().data
    seen = _learnt_from(run.fingerprint, data, _descriptions(dataset, run.read_reading()))
    earlier = None if before is None else before.trained_on
    if seen is not None and earlier is not None and replace(earlier, descriptions=seen.descriptions) == seen:
        seen = replace(seen, descriptions=seen.descriptions or earlier.descriptions)
    return About(seen, __version__, version("torch"), datetime.now(UTC).date().isoformat())


def trained_before(model: Path, data: DataPlan) -> TrainedOn | None:
    """What a model has learnt from whose folder says nothing of it, by the fingerprint that lies beside that.

    None where there is none, or it is not that of the model's `data`.
    """
    return _learnt_from(RunFolder(model.resolve().parent).fingerprint, data)


def trained_on_of(model: Path, predictor: Model) -> TrainedOn | None:
    """What the `predictor` that was loaded from `model`, a folder or a file, has learnt from; None where not known."""
    about = predictor.origin.about
    if about is not None and about.trained_on is not None:
        return about.trained_on
    return trained_before(model, predictor.card.data)


def _learnt_from(path: Path, data: DataPlan, descriptions: Sequence[str] = ()) -> TrainedOn | None:
    """What the fingerprint at `path` tells, where it is that of these data."""
    try:
        fingerprint = Fingerprint.from_json(read_json(path, PlanError), str(path))
    except PlanError:
        return None  # a machine that got the prepared cases alone
    if not fingerprint.cases or (fingerprint.dataset, fingerprint.labels) != (data.dataset, data.labels):
        return None
    return trained_on(fingerprint, descriptions)


def _descriptions(dataset: Path, reading: Reading) -> list[str]:
    """What the scanner called the DICOM series of each person in a dataset, each name once for a person.

    What is typed in for one person may stand in all series of theirs. Empty where there are no series, or the dataset
    is not at hand.
    """
    from autospine.data.dataset import open_dataset

    if not dataset.exists():
        return []
    try:
        cases = open_dataset(dataset, reading).cases
    except DataError:
        return []  # said where the images are needed
    called, left = defaultdict[str, set[str]](set), _SERIES
    for case in cases:
        series = case.files[:left]
        called[case.subject or case.name].update(_described(series))
        left -= len(series)
    return [one for held in called.values() for one in held]


def _described(series: Sequence[Path]) -> Iterator[str]:
    """The description of each of these images that is DICOM and has one."""
    for path in series:
        if suffix_of(path) and not path.is_dir():
            continue
        files = dicom_files(path) if path.is_dir() else [path] if is_dicom(path) else []
        for first in files[:1]:
            try:
                text = str(open_header(first, ["SeriesDescription"]).get("SeriesDescription") or "")
            except Exception:  # a damaged file fails anywhere in the parser, and is said where it is read
                text = ""
            if text:
                yield text
