"""From the files of a request to its answer: the image found and checked against the memory, segmented, written.

This runs in the one thread that computes. Sizes are checked where headers say them, before voxels are read.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import quote

import autospine
from autospine.data.dataset import read_images
from autospine.data.geometry import Geometry, Volume
from autospine.data.inputs import find_inputs
from autospine.data.layouts.shared.naming import raise_fault
from autospine.data.segmentation_files import FORMATS, check_segmentation, write_segmentation
from autospine.data.series_choice import Sought
from autospine.data.structure import Files, missing_of
from autospine.data.volume import header_remarks, is_series, read_channels, read_geometry
from autospine.data.wording import listed
from autospine.errors import AutospineError, DataError
from autospine.inference.segmentation import Segmentation, Wanted
from autospine.serve.limits import Limits
from autospine.serve.receiving import Part, Received
from autospine.serve.refusals import RequestError, refusal_of, without_folder
from autospine.serve.uploads import Kind, Room, Upload, unpacked
from autospine.workflow.steps.segmenting import Segmenter

_CONTENT = {".nii.gz": "application/gzip", ".dcm": "application/dicom"}
"""Content types of files by their ending; of others, bytes."""
_DEFAULT: dict[Kind, str] = {"nifti": "nifti", "nrrd": "nrrd", "mha": "mha", "dicom": "dicom-seg"}
_NAME = "image"
"""What messages call the image of a request."""
_NOTES = 3000
"""Characters of all notes in a header; proxies refuse headers of more than 8 kB."""
_HELD = 2
"""Times that a header may be in memory: as it was read, and as what it says (ours)."""
_READ_BYTES = 8
"""Of a number, as it is read at most: float64."""


@dataclass(frozen=True)
class Asked:
    """What a client wants."""

    format: str | None = None
    """One of `FORMATS`; None: that of the image."""
    statistics: bool = False
    """Volumes instead of the segmentation."""
    series: tuple[str, ...] = ()
    """Which series of a study to take, as `series_choice.Sought` has it; empty: the one that the model is for."""

    @classmethod
    def of(cls, query: Mapping[str, str], fields: Mapping[str, str]) -> Asked:
        """What the query says, else the fields of the form; `RequestError` 400 for what nobody knows."""
        said = {**fields, **query}
        unknown = query.keys() - {"format", "statistics", "series"}
        if unknown:
            raise RequestError(400, "the query", f"{listed(sorted(unknown))[:200]}", "format, series, statistics")
        series = said.get("series", "")
        if "re:" in series:  # a stranger's regular expression could be one that never ends
            expected = "a number, a UID, a description or a pattern with *"
            raise RequestError(400, "series", "a regular expression", expected)
        wanted, statistics = said.get("format") or None, said.get("statistics", "false").lower()
        if wanted is not None and wanted not in FORMATS:
            raise RequestError(400, "format", repr(wanted[:80]), ", ".join(FORMATS))
        if statistics not in ("true", "false"):
            raise RequestError(400, "statistics", repr(statistics[:80]), "true or false")
        return cls(wanted, statistics == "true", (series,) if series else ())


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
        return self.segmenter.name

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
            kind, images = self._find(received.files, asked.series, notes.append)
            volume = self._read(images, notes.append)
            ending = FORMATS[asked.format or _DEFAULT[kind]]
            path = folder / f"segmentation{ending}"
            if not asked.statistics:
                check_segmentation(path, volume.geometry, images)
            held = [volume]
            del volume  # let go of where it is of no more use
            missing = missing_of(images)
            made = self._segment(held, missing)
            notes += [] if made.promise is None else [flag.described for flag in made.promise.flags]
            if asked.statistics:
                return self._statistics(made, folder, notes)
            facts = self.segmenter.facts
            write_segmentation(path, made.labels, facts.structures, images, facts.made_by)
        except AutospineError as error:
            raise refusal_of(error, folder) from error
        named = {"Content-Disposition": f'attachment; filename="{path.name}"'}
        return Made(
            path, _CONTENT.get(ending, "application/octet-stream"), {**self.headers, **named, **_noted(notes, folder)}
        )

    def _find(self, parts: Sequence[Part], series: tuple[str, ...], note: Callable[[str], None]) -> tuple[Kind, Files]:
        """What the first file is, and the files of each channel."""
        room = Room(self.limits, self._room_bytes // _HELD)
        uploads = [unpacked(part.path, part.field, number, room) for number, part in enumerate(parts, 1)]
        if series and not any(upload.path.is_dir() for upload in uploads):
            raise RequestError(400, "series", "asked for of what is no study", "a zip of DICOM files", "leave it out")
        try:
            return uploads[0].kind, self._channels(uploads, self._sought(series), note)
        except (AutospineError, RequestError):
            raise
        except Exception as fault:
            raise self._unreadable(fault) from fault

    def _channels(self, uploads: Sequence[Upload], meant: Sought, note: Callable[[str], None]) -> Files:
        """The files of each channel: by the names of the form's fields where these are channels, else in order."""
        predictor = self.segmenter.predictor
        channels = predictor.card.data.channels
        named = [upload.field for upload in uploads]
        if set(named) <= set(channels) and len(set(named)) == len(named):
            held = dict(zip(named, uploads, strict=True))
            return tuple(
                _of_channel(held[channel], channel, meant, note) if channel in held else None for channel in channels
            )
        if len(uploads) == 1:
            (upload,) = uploads
            if upload.path.is_dir():
                return _only(find_inputs(upload.path, channels, predictor.optional_channels, sought=meant, tell=note))
            return (upload.path,)
        if len(uploads) != len(channels) or set(named) & set(channels):
            expected = f"{len(channels)} ({', '.join(channels)}), in this order or in fields with these names"
            raise RequestError(422, _NAME, f"{len(uploads)} file(s) for its channels", expected)
        return tuple(_of_channel(upload, name, meant, note) for upload, name in zip(uploads, channels, strict=True))

    def _sought(self, series: tuple[str, ...]) -> Sought:
        """What is known of the images that the model is for, and which `series` the client names."""
        return replace(self.segmenter.sought, series=series)

    def _read(self, images: Files, note: Callable[[str], None]) -> Volume:
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
        needed, room = max(reading, self.segmenter.predictor.needed_bytes(geometries[0])), self._room_bytes
        if needed > room:
            found = f"it takes up to {needed / 1e9:.3g} GB of memory"
            raise RequestError(413, _NAME, found, f"at most {room / 1e9:.3g} GB", "crop it to what is to be segmented")

    @property
    def _room_bytes(self) -> int:
        """Memory that a request may take now."""
        return max(0, int(self.segmenter.predictor.available_bytes()))

    def _segment(self, held: list[Volume], missing: tuple[int, ...]) -> Segmentation:
        """The segmentation of the one image that is `held`, and is no more then."""
        from autospine.machine.device import is_out_of_memory

        try:
            wanted = Wanted(evidence=self.segmenter.facts.promises)
            return self.segmenter.predictor.predict(held.pop(), missing=missing, name=_NAME, wanted=wanted)
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

    def _statistics(self, made: Segmentation, folder: Path, notes: Sequence[str]) -> Made:
        """Volumes by structure."""
        content: dict[str, Any] = {
            "model": self.model,
            "version": autospine.__version__,
            "volumes_mm3": made.volumes_mm3,
            "notes": [without_folder(note, folder) for note in notes],
        }
        if made.promise is not None:
            content["promise"] = {
                "confidence": made.promise.confidence,
                "dice": {one.structure: one.promised_dice for one in made.promise.structures},
            }
        path = folder / "statistics.json"
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        return Made(path, "application/json", {**self.headers, **_noted(notes, folder)})


def described(fault: BaseException) -> str:
    """Kind and place of an exception, without its message: that may hold what stands in a header of a patient's."""
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)]
    return f"{type(fault).__name__} at {' > '.join(places[-6:])}"


def _of_channel(upload: Upload | None, channel: str, meant: Sought, note: Callable[[str], None]) -> Path | None:
    """The image of an upload that is one channel; None where there is none."""
    if upload is None:
        return None
    if not upload.path.is_dir():
        return upload.path
    return _only(find_inputs(upload.path, [channel], sought=meant, tell=note))[0]


def _only(cases: Sequence[tuple[str, Files]]) -> Files:
    """The one case that was found."""
    if len(cases) != 1:
        found = f"{len(cases)} series that could be meant"
        raise DataError(_NAME, found, "one", "send the zip of one series, or a file for each channel")
    return cases[0][1]


def _noted(notes: Sequence[str], folder: Path) -> dict[str, str]:
    """The header of notes, which name nothing of the private `folder`: a JSON list of ASCII, no longer than it may be.

    Empty where there are none.
    """
    kept = [without_folder(note, folder) for note in notes]
    while len(json.dumps(kept)) > _NOTES and kept:
        kept.pop()
    return {"X-Autospine-Notes": json.dumps(kept)} if notes else {}
