"""`autospine predict`: images in, segmentations on their own grids out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autospine.data.aside import PREDICTED
from autospine.data.dataset import read_images
from autospine.data.dicom_files import dicom_files
from autospine.data.files import check_name, read_json, write_json
from autospine.data.geometry import Volume
from autospine.data.inputs import find_inputs
from autospine.data.layouts.naming import is_unread
from autospine.data.slices import slices_of
from autospine.data.volume import IMAGE_SUFFIXES, WRITTEN_AS, header_remarks, suffix_of, write_volume
from autospine.errors import DataError, OutputError
from autospine.planning.model import MODEL, ModelCard, fold_weights
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs import find_model

RECORD = PREDICTED
"""In the output folder: which model made which file of which images, so that a second run goes on and mixes nothing."""
WRITTEN = ".nii.gz"
"""Format of the segmentation of a DICOM series."""


@dataclass(frozen=True)
class PredictRequest:
    """What the user asked for."""

    model: Path | None = None
    """Model folder; None: the only one below the runs folder."""
    folds: tuple[str, ...] | None = None
    """Folds to average; None: all that are trained."""
    device: str = "auto"
    mirror: bool = True
    """Average over the plan's mirrorings."""
    overlap: float | None = None
    """Share by which tiles overlap; None: the plan's."""
    overwrite: bool = False
    """Replace files that stand in the output folder."""


@dataclass(frozen=True)
class Prediction:
    """What was written."""

    files: tuple[Path, ...]
    """One per case, made now or before."""
    seconds: tuple[float, ...]
    """Per case made now: reading, predicting and writing."""
    slices: tuple[int, ...]
    """Per case made now: its slices."""
    model: Path


def predict_paths(
    source: Path, target: Path, runs: Path, request: PredictRequest, *, progress: Progress | None = None
) -> Prediction:
    """Segment one image or a folder of images.

    One image, a file or the folder of a DICOM series, is written to `target` where that ends in an image suffix;
    otherwise `target` is a folder and each case keeps its name and file ending. Cases that the same model has written
    there are left alone. What is left aside in `source` is noted.
    A cascade starts from the segmentation of its previous stage, whose model stands beside it.

    Raises:
        DataError: no images, a wrong number of channels, an unreadable file.
        PlanError: no model, or a broken one, or a cascade without its previous stage.
        OutputError: a file in the way that this model did not write, or an unwritable folder.
        DeviceError: the device is not there.
    """
    from autospine.inference.ensemble import load_model, load_previous, previous_folder
    from autospine.inference.export import segment
    from autospine.inference.predictor import prediction_precision
    from autospine.networks.device import describe_choice, resolve_device

    progress = progress or Silent()
    device = resolve_device(request.device)
    folder = request.model or find_model(runs)
    model = load_model(folder, device, request.folds)
    first_folder, first = previous_folder(folder, model.card), load_previous(folder, model, device)
    for note in (*model.unfinished, *(() if first is None else first.unfinished)):
        progress.note(note)
    if request.overlap is not None:
        model = replace(model, card=_overlapping(model.card, request.overlap))
        first = None if first is None else replace(first, card=_overlapping(first.card, request.overlap))

    channels = model.card.channels
    # what every stage can do without
    optional = set(model.card.configuration.optional_channels)
    optional &= optional if first is None else set(first.card.configuration.optional_channels)
    cases = find_inputs(source, channels, optional, tell=progress.note)
    single = _is_file(target, source, cases)
    outputs = {
        name: target if single else target / f"{name}{WRITTEN_AS.get(suffix_of(_files(images)[0]), WRITTEN)}"
        for name, images in cases
    }
    for path in outputs.values():
        check_name(path, OutputError)
    folders = (folder,) if first_folder is None else (folder, first_folder)
    identity = _identity(folders, model.folds, request)
    record = target / RECORD
    made = {} if single else _made_before(record, identity)
    stamps = {name: _stamp(images) for name, images in cases}
    done = (
        set() if request.overwrite else {n for n, path in outputs.items() if path.exists() and made.get(n) == stamps[n]}
    )
    _refuse_to_harm(source, target, outputs, done, request.overwrite)

    choice = prediction_precision(model.card.configuration, device)
    computed = describe_choice(device, choice)
    if choice.speed is not None and len(done) < len(cases):
        progress.note(f"Predicting on {computed}")
    seconds: list[float] = []
    slices: list[int] = []
    for index, (name, images) in enumerate(cases):
        if name in done:
            continue
        start = time.monotonic()
        missing = tuple(index for index, path in enumerate(images) if path is None)
        if missing:
            progress.note(f"{name} is segmented without {', '.join(channels[index] for index in missing)}")
        for path in _files(images):
            for said in header_remarks(path):
                progress.note(f"{name}: {path.name}: {said}")
        with progress.task(f"{name} ({index + 1}/{len(cases)})") as update:
            segmentation = segment(
                model,
                _read(images),
                name,
                device=device,
                mirror=request.mirror,
                previous=first,
                missing=missing,
                progress=lambda tiles, total, update=update: update(f"tile {tiles}/{total}", tiles / total),  # type: ignore[misc]
            )
            if not single:  # the record first: the file itself is whole or not there
                made[name] = stamps[name]
                write_json(record, {"model": identity, "device": computed, "cases": made})
            write_volume(outputs[name], segmentation)
        seconds.append(time.monotonic() - start)
        grid = segmentation.geometry
        slices.append(grid.shape[slices_of(grid)])
    if len(seconds) < len(cases):
        progress.note(f"{len(cases) - len(seconds)} case(s) had been predicted before (--overwrite makes them anew)")
    return Prediction(tuple(outputs[name] for name, _ in cases), tuple(seconds), tuple(slices), folder)


def _is_file(target: Path, source: Path, cases: Sequence[tuple[str, Sequence[Path | None]]]) -> bool:
    """Whether one segmentation is to be written to `target`, and not some into a folder of that name."""
    if target.is_dir() or not (suffix_of(target) or is_unread(target.name)):
        return False
    one = source.is_file() or [_files(images) for _, images in cases] == [[source]]
    if not one:
        found = f"a file for the segmentations of a folder ({len(cases)})"
        raise OutputError(str(target), found, "a folder", "give OUT a name without an image's suffix")
    if not suffix_of(target):
        raise OutputError(str(target), "not a format that can be written", ", ".join(IMAGE_SUFFIXES))
    return True


def _files(images: Sequence[Path | None]) -> list[Path]:
    """The files of a case, without what it lacks."""
    return [path for path in images if path is not None]


def _read(images: Sequence[Path | None]) -> Volume:
    """All channel files of a case as one volume, in the orientation of the first."""

    def refuse(fault: DataError) -> None:
        raise fault

    volume = read_images(images, refuse)
    assert volume is not None  # None only after a fault, and a fault has been raised
    return volume


def _overlapping(card: ModelCard, overlap: float) -> ModelCard:
    """`card` with tiles that overlap by this share."""
    return replace(card, configuration=replace(card.configuration, overlap=overlap))


def _identity(folders: tuple[Path, ...], folds: tuple[str, ...], request: PredictRequest) -> str:
    """Hash of the weights and settings that decide what comes out; a cascade has two model folders."""
    digest = hashlib.sha256(repr((folds, request.mirror, request.overlap)).encode())
    for folder in folders:
        digest.update((folder / MODEL).read_bytes())
        for fold in folds:
            digest.update(fold_weights(folder, fold).read_bytes())
    return digest.hexdigest()


def _stamp(images: Sequence[Path | None]) -> list[list[str | int]]:
    """What tells whether a case's files are still the same: where they lie, their size and when they were written."""
    # a folder is a DICOM series: the files in it
    files = [file for path in _files(images) for file in (dicom_files(path) if path.is_dir() else [path])]
    states = [(path.resolve(), path.stat()) for path in files]
    return [[str(path), state.st_size, state.st_mtime_ns] for path, state in states]


def _made_before(record: Path, identity: str) -> dict[str, Any]:
    """Case -> stamp of the images, of what this very model has written here; empty for any other."""
    if not record.is_file():
        return {}
    content = read_json(record, OutputError)
    same = isinstance(content, dict) and content.get("model") == identity and isinstance(content.get("cases"), dict)
    return dict(content["cases"]) if same else {}


def _refuse_to_harm(source: Path, target: Path, outputs: dict[str, Path], done: set[str], overwrite: bool) -> None:
    """Raise `OutputError` where a result would replace an image or what this model did not make of these images."""
    images = source.parent if source.is_file() and target.is_dir() else source
    if target.resolve() == images.resolve():
        raise OutputError(str(target), "holds the images themselves", "another place", "choose another OUT")
    strangers = [path for name, path in outputs.items() if path.exists() and name not in done]
    if strangers and not overwrite:
        found = (
            f"{len(strangers)} file(s) that another model, other images or somebody made, such as {strangers[0].name}"
        )
        raise OutputError(str(strangers[0].parent), found, "free names", "choose another OUT, or use --overwrite")
