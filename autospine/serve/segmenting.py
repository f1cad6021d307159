"""From the files of a request to its answer: the image found and checked against the memory, segmented, written.

This runs in the one thread that computes. Sizes are checked where headers say them, before voxels are read.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

import autospine
from autospine.data.dataset import read_images
from autospine.data.geometry import Geometry, Volume
from autospine.data.inputs import find_inputs
from autospine.data.layouts.shared.naming import raise_fault
from autospine.data.volume import header_remarks, is_series, read_channels, read_geometry, write_volume
from autospine.data.wording import listed
from autospine.errors import AutospineError, DataError
from autospine.machine.memory import free_bytes
from autospine.serve.limits import Limits
from autospine.serve.receiving import Part, Received
from autospine.serve.refusals import RequestError, refusal_of, without_folder
from autospine.serve.uploads import Kind, Room, Upload, unpacked
from autospine.workflow.steps.segmenting import Images, Segmenter

FORMATS: dict[str, tuple[str, str]] = {
    "nifti": (".nii.gz", "application/gzip"),
    "nrrd": (".nrrd", "application/octet-stream"),
    "mha": (".mha", "application/octet-stream"),
}
"""Formats of answers: suffix and content type."""
_DEFAULT: dict[Kind, str] = {"nifti": "nifti", "nrrd": "nrrd", "mha": "mha", "dicom": "nifti"}
_NAME = "image"
"""What messages call the image of a request."""
_NOTES = 3000
"""Characters of all notes in a header; proxies refuse headers of more than 8 kB."""
_READ_BYTES = 8
"""Of a number, as it is read at most: float64."""


@dataclass(frozen=True)
class Asked:
    """What a client wants."""

    format: str | None = None
    """One of `FORMATS`; None: that of the image."""
    statistics: bool = False
    """Volumes instead of the segmentation."""

    @classmethod
    def of(cls, query: Mapping[str, str], fields: Mapping[str, str]) -> Asked:
        """What the query says, else the fields of the form; `RequestError` 400 for what nobody knows."""
        said = {**fields, **query}
        unknown = query.keys() - {"format", "statistics"}
        if unknown:
            raise RequestError(400, "the query", f"{listed(sorted(unknown))[:200]}", "format, statistics")
        wanted, statistics = said.get("format") or None, said.get("statistics", "false").lower()
        if wanted is not None and wanted not in FORMATS:
            raise RequestError(400, "format", repr(wanted[:80]), ", ".join(FORMATS))
        if statistics not in ("true", "false"):
            raise RequestError(400, "statistics", repr(statistics[:80]), "true or false")
        return cls(wanted, statistics == "true")


@dataclass(frozen=True)
class Made:
    """An answer on the disk."""

    path: Path
    kind: str
    """Content type."""
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Service:
    """A model that is ready, and what a request may take of this machine."""

    segmenter: Segmenter
    limits: Limits
    tell: Callable[[str], None]
    """For the server's own log: nothing of an image's content goes there."""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.segmenter.folder.resolve().name

    @property
    def headers(self) -> dict[str, str]:
        """Of every answer: which model, and which version of autospine."""
        return {"X-Autospine-Model": quote(self.model), "X-Autospine-Version": autospine.__version__}

    def answer(self, received: Received, asked: Asked, folder: Path) -> Made:
        """The segmentation of what was received, or its volumes, as a file in the private `folder` of the request.

        Raises:
            RequestError: 400 a file that cannot be read, 413 too large, 415 another format, 422 it does not fit the
                model, 500 the model does not compute.
        """
        notes: list[str] = []
        try:
            kind, images = self._find(received.files, notes.append)
            volume = self._read(images, notes.append)
            labels = self._segment(volume, tuple(index for index, path in enumerate(images) if path is None))
            del volume
            if asked.statistics:
                return self._statistics(labels, folder, notes)
            suffix, content = FORMATS[asked.format or _DEFAULT[kind]]
            path = folder / f"segmentation{suffix}"
            write_volume(path, labels)
        except AutospineError as error:
            raise refusal_of(error, folder) from error
        said = {"X-Autospine-Notes": _shortened([without_folder(note, folder) for note in notes])} if notes else {}
        named = {"Content-Disposition": f'attachment; filename="{path.name}"'}
        return Made(path, content, {**self.headers, **named, **said})

    def _find(self, parts: Sequence[Part], note: Callable[[str], None]) -> tuple[Kind, Images]:
        """What the first file is, and the files of each channel."""
        room = Room(self.limits)
        uploads = [unpacked(part.path, part.field, number, room) for number, part in enumerate(parts, 1)]
        try:
            return uploads[0].kind, self._channels(uploads, note)
        except (AutospineError, RequestError):
            raise
        except Exception as fault:
            raise self._unreadable(fault) from fault

    def _channels(self, uploads: Sequence[Upload], note: Callable[[str], None]) -> Images:
        """The files of each channel: by the names of the form's fields where these are channels, else in order."""
        predictor = self.segmenter.predictor
        channels = predictor.card.data.channels
        named = [upload.field for upload in uploads]
        if set(named) <= set(channels) and len(set(named)) == len(named):
            held = dict(zip(named, uploads, strict=True))
            return tuple(_of_channel(held[channel], channel, note) if channel in held else None for channel in channels)
        if len(uploads) == 1:
            (upload,) = uploads
            if upload.path.is_dir():
                return _only(find_inputs(upload.path, channels, predictor.optional_channels, tell=note))
            return (upload.path,)
        if len(uploads) != len(channels) or set(named) & set(channels):
            expected = f"{len(channels)} ({', '.join(channels)}), in this order or in fields with these names"
            raise RequestError(422, _NAME, f"{len(uploads)} file(s) for its channels", expected)
        return tuple(_of_channel(upload, name, note) for upload, name in zip(uploads, channels, strict=True))

    def _read(self, images: Images, note: Callable[[str], None]) -> Volume:
        """The image, once its headers say that it is not too large and has the channels that the model takes."""
        try:
            paths = [path for path in images if path is not None]
            geometry = read_geometry(paths[0])
            self._check_channels(len(images) if len(images) > 1 else read_channels(paths[0]))
            self._check_size([geometry, *map(read_geometry, paths[1:])])
            for path in paths:
                for said in () if is_series(path) else header_remarks(path):
                    note(f"{path.name}: {said}")
            volume = read_images(images, raise_fault)
        except (AutospineError, RequestError):
            raise
        except MemoryError as fault:
            raise self._no_memory() from fault
        except Exception as fault:  # what a library stumbles over that reads a stranger's file
            raise self._unreadable(fault) from fault
        assert volume is not None  # None only after a fault, and a fault has been raised
        return volume

    def _check_channels(self, held: int) -> None:
        """Refuse (422) another number of channels than the model takes."""
        channels = self.segmenter.predictor.card.data.channels
        if held != len(channels):
            expected = f"{len(channels)} ({', '.join(channels)})"
            raise RequestError(422, _NAME, f"{held} channel(s)", expected, "send those that the model was trained on")

    def _check_size(self, geometries: Sequence[Geometry]) -> None:
        """Refuse (413) what would take more memory than there is for it."""
        reading = _READ_BYTES * sum(prod(geometry.shape) for geometry in geometries)
        needed = max(reading, self.segmenter.predictor.needed_bytes(geometries[0]))
        room = free_bytes() if self.limits.memory_bytes is None else self.limits.memory_bytes
        if needed > room:
            found = f"it takes up to {needed / 1e9:.3g} GB of memory"
            raise RequestError(413, _NAME, found, f"at most {room / 1e9:.3g} GB", "crop it to what is to be segmented")

    def _segment(self, volume: Volume, missing: tuple[int, ...]) -> Volume:
        from autospine.machine.device import is_out_of_memory

        try:
            return self.segmenter.predictor.segment(volume, _NAME, missing=missing)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        raise self._no_memory()

    def _no_memory(self) -> RequestError:
        return RequestError(413, _NAME, "too little memory for it", remedy="crop it to what is to be segmented")

    def _unreadable(self, fault: Exception) -> RequestError:
        """The refusal of a file that a library failed on; which one is told in the log, without what is in the file."""
        self.tell(f"An upload could not be read: {described(fault)}")
        return RequestError(400, _NAME, "cannot be read", "a whole image", "copy or export it again")

    def _statistics(self, labels: Volume, folder: Path, notes: Sequence[str]) -> Made:
        """Volumes by structure."""
        counts = np.bincount(labels.array.ravel())
        voxel_mm3 = prod(labels.geometry.spacing_mm)
        volumes = {
            name: float(counts[value] * voxel_mm3) if value < len(counts) else 0.0
            for name, value in self.segmenter.predictor.card.data.labels
        }
        content: dict[str, Any] = {
            "model": self.model,
            "version": autospine.__version__,
            "volumes_mm3": volumes,
            "notes": [without_folder(note, folder) for note in notes],
        }
        path = folder / "statistics.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return Made(path, "application/json", self.headers)


def described(fault: BaseException) -> str:
    """Kind and place of an exception, without its message: that may hold what stands in a header of a patient's."""
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)]
    return f"{type(fault).__name__} at {' > '.join(places[-6:])}"


def _of_channel(upload: Upload, channel: str, note: Callable[[str], None]) -> Path:
    """The image of an upload that is one channel."""
    if not upload.path.is_dir():
        return upload.path
    (path,) = _only(find_inputs(upload.path, [channel], tell=note))
    assert path is not None  # none is optional
    return path


def _only(cases: Sequence[tuple[str, Images]]) -> Images:
    """The one case that was found."""
    if len(cases) != 1:
        found = f"{len(cases)} series that could be meant"
        raise DataError(_NAME, found, "one", "send the zip of one series, or a file for each channel")
    return cases[0][1]


def _shortened(notes: Sequence[str]) -> str:
    """Notes as a JSON list of ASCII that fits into a header."""
    kept = list(notes)
    while len(json.dumps(kept)) > _NOTES and kept:
        kept.pop()
    return json.dumps(kept)
