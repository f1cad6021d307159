"""`autospine predict`: images in, segmentations on their own grids out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autospine.data.dataset import find_inputs
from autospine.data.files import read_json, write_json
from autospine.data.volume import IMAGE_SUFFIXES, Volume, read_volume, same_grid, stem, write_volume
from autospine.errors import DataError, OutputError
from autospine.workflow.progress import Progress, Silent
from autospine.workflow.runs import find_model

RECORD = "prediction.json"
"""In the output folder: which model made which file, so that a second run goes on and never mixes two models."""


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
    model: Path


def predict_paths(
    source: Path, target: Path, runs: Path, request: PredictRequest, *, progress: Progress | None = None
) -> Prediction:
    """Segment one image or a folder of images.

    A file `source` with an image suffix in `target` writes that file; otherwise `target` is a folder and
    each case keeps its name and file ending. Cases that the same model has written there are left alone.

    Raises:
        DataError: no images, a wrong number of channels, an unreadable file.
        PlanError: no model, or a broken one.
        OutputError: a file in the way that this model did not write, or an unwritable folder.
        DeviceError: the device is not there.
    """
    from autospine.inference.ensemble import load_model
    from autospine.inference.export import segment
    from autospine.networks.device import resolve_device

    progress = progress or Silent()
    device = resolve_device(request.device)
    folder = request.model or find_model(runs)
    model = load_model(folder, device, request.folds)
    if request.overlap is not None:
        configuration = replace(model.card.configuration, overlap=request.overlap)
        model = replace(model, card=replace(model.card, configuration=configuration))

    cases = find_inputs(source, len(model.card.channels))
    single = source.is_file() and target.name.endswith(IMAGE_SUFFIXES)
    outputs = {
        name: target if single else target / f"{name}{_suffix(images[0], len(images))}" for name, images in cases
    }
    identity = _identity(folder, model.folds, request)
    record = None if single else target / RECORD
    done = _done_before(record, identity, outputs, request.overwrite)

    seconds: list[float] = []
    for index, (name, images) in enumerate(cases):
        if name in done:
            continue
        start = time.monotonic()
        with progress.task(f"{name} ({index + 1}/{len(cases)})") as update:
            volume = _read_channels(name, images)
            segmentation = segment(
                model,
                volume,
                name,
                device=device,
                mirror=request.mirror,
                progress=lambda tiles, total, update=update: update(f"tile {tiles}/{total}", tiles / total),  # type: ignore[misc]
            )
            write_volume(outputs[name], segmentation)
        done.append(name)
        if record is not None:
            write_json(record, {"model": identity, "cases": done})
        seconds.append(time.monotonic() - start)
    if len(seconds) < len(cases):
        progress.note(f"{len(cases) - len(seconds)} case(s) had been predicted before (--overwrite makes them anew)")
    return Prediction(tuple(outputs[name] for name, _ in cases), tuple(seconds), folder)


def _suffix(image: Path, channels: int) -> str:
    """The file ending of a result: the input's, so that its grid can be kept."""
    return image.name[len(stem(image)) :]


def _read_channels(name: str, images: tuple[Path, ...]) -> Volume:
    """All channel files of a case as one volume, in file orientation."""
    volumes = [read_volume(path) for path in images]
    first = volumes[0]
    for path, volume in zip(images[1:], volumes[1:], strict=True):
        difference = same_grid(first.geometry, volume.geometry)
        if difference is not None:
            raise DataError(
                f"{name}: {path}", difference, f"the grid of {images[0]}", "resample the channels to one grid"
            )
    array = np.concatenate([volume.array.astype(np.float32, copy=False) for volume in volumes])
    if not np.isfinite(array).all():
        raise DataError(
            name, "the image holds NaN or infinite values", "finite values", "repair or leave out this image"
        )
    return Volume(array, first.geometry, first.metadata)


def _identity(folder: Path, folds: tuple[str, ...], request: PredictRequest) -> str:
    """Hash of the weights and settings that decide what comes out."""
    digest = hashlib.sha256(repr((folds, request.mirror, request.overlap)).encode())
    digest.update((folder / "model.json").read_bytes())
    for fold in folds:
        digest.update((folder / f"fold_{fold}" / "model.safetensors").read_bytes())
    return digest.hexdigest()


def _done_before(record: Path | None, identity: str, outputs: dict[str, Path], overwrite: bool) -> list[str]:
    """Cases that this very model has written already, by the record of an earlier run.

    Raises:
        OutputError: files stand in the way that it did not write.
    """
    if overwrite:
        return []
    content = read_json(record) if record is not None and record.is_file() else {}
    made = set(content["cases"]) if content.get("model") == identity else set()
    strangers = [path for name, path in outputs.items() if path.exists() and name not in made]
    if strangers:
        found = f"{len(strangers)} file(s) of other origin or from another model, such as {strangers[0].name}"
        raise OutputError(str(strangers[0].parent), found, "free names", "choose another OUT, or use --overwrite")
    return [name for name, path in outputs.items() if path.exists()]
