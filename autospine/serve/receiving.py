"""The body of a request on this machine's disk, under names of our own, within limits that hold while it arrives.

A body is one file as it is (`curl --data-binary`), or a form (`multipart/form-data`) of files and short fields. No name
that it gives is used for a path; that of a form's field may say which channel its file is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from autospine.serve.limits import Limits
from autospine.serve.refusals import RequestError

_FIELD_BYTES = 4096
_FORM = "multipart/form-data"
_OTHERS = ("text/", "multipart/", "application/json", "application/xml", "application/javascript", "video/", "audio/")
"""Kinds of body that are no image, whatever they hold."""
_BODY = "the body"
_EXPECTED = "an image, or a zip of DICOM files"


@dataclass(frozen=True)
class Part:
    """A file that arrived."""

    path: Path
    field: str = ""
    """The form's field that it came in; empty where the body is the file."""


@dataclass(frozen=True)
class Received:
    """A whole body."""

    files: tuple[Part, ...]
    fields: Mapping[str, str]


async def receive(
    headers: Mapping[str, str],
    pieces: AsyncIterator[bytes],
    folder: Path,
    limits: Limits,
    ended: Callable[[], bool] = lambda: False,
) -> Received:
    """The body that arrives in `pieces`, written below `folder`.

    Args:
        headers: of the request, by names in lower case.
        pieces: of the body as it arrives.
        folder: is there, and empty.
        limits: of bytes, files and time.
        ended: whether the server is to end, and takes nothing more.

    Raises:
        RequestError: 400 malformed or empty, 408 too slow, 413 too large, 415 another kind of body, 503 the
            server ends.
    """
    check_headers(headers, limits)
    kind = headers.get("content-type", "")
    sink = _Form(kind, folder, limits) if _bare(kind) == _FORM else _Whole(folder)
    taken = 0
    try:
        async with asyncio.timeout(limits.upload_s):
            async for piece in pieces:
                taken += len(piece)
                if taken > limits.upload_bytes:
                    raise too_large(limits)
                if ended():
                    raise RequestError(503, "server", "it is about to end", remedy="send it again later")
                sink.write(piece)
    except TimeoutError:
        found = f"not arrived in {limits.upload_s:g} seconds"
        raise RequestError(408, _BODY, found, "a faster connection, or less", "send it again") from None
    finally:
        sink.close()
    return sink.received()


def check_headers(headers: Mapping[str, str], limits: Limits) -> None:
    """Refuse what the headers of a request say to be too large (413), or no image (415), before its body is read."""
    said = headers.get("content-length", "")
    if said.isdecimal() and int(said) > limits.upload_bytes:
        raise too_large(limits)
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        found = "a body that is packed as a whole (Content-Encoding)"
        raise RequestError(415, _BODY, found, "a body as it is; .nii.gz and zip are known as such")
    kind = _bare(headers.get("content-type", ""))
    if kind != _FORM and kind.startswith(_OTHERS):
        raise RequestError(415, _BODY, f"of the type {kind[:80]!r}", f"an image as it is, or {_FORM}")


def too_large(limits: Limits) -> RequestError:
    """The refusal of a body with more bytes than it may have."""
    found = f"more than {limits.upload_bytes / 1e6:g} MB"
    return RequestError(413, _BODY, found, remedy="send less, or have the server started with a larger --max-upload")


def _bare(kind: str) -> str:
    """A content type without its parameters."""
    return kind.split(";")[0].strip().lower()


class _Whole:
    """A body that is one file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "body"
        self._file = self._path.open("xb")

    def write(self, piece: bytes) -> None:
        self._file.write(piece)

    def close(self) -> None:
        self._file.close()

    def received(self) -> Received:
        if not self._path.stat().st_size:
            raise RequestError(400, _BODY, "empty", _EXPECTED)
        return Received((Part(self._path),), {})


class _Form:
    """A body of several parts."""

    def __init__(self, kind: str, folder: Path, limits: Limits) -> None:
        from python_multipart.multipart import MultipartParser, parse_options_header

        self._options = parse_options_header
        self._folder, self._limits = folder, limits
        self._files: list[Part] = []
        self._fields: dict[str, str] = {}
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        self._file: IO[bytes] | None = None
        self._field: tuple[str, bytearray] | None = None
        self._whole = False
        self._parts = 0
        boundary = parse_options_header(kind)[1].get(b"boundary")
        if not boundary:
            raise self._malformed("no boundary in its content type")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._name,
                    "on_header_value": self._value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._done,
                },
            )
        except ValueError as fault:
            raise self._malformed(str(fault)) from fault

    def write(self, piece: bytes) -> None:
        from python_multipart.exceptions import FormParserError

        try:
            self._parser.write(piece)
        except FormParserError as fault:
            raise self._malformed(str(fault)) from fault

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def received(self) -> Received:
        if not self._whole:
            raise self._malformed("it is cut off")
        if not self._files or any(not part.path.stat().st_size for part in self._files):
            raise RequestError(
                400, _BODY, "a form without a file, or with an empty one", "an image, or a zip of DICOM files"
            )
        return Received(tuple(self._files), self._fields)

    def _malformed(self, why: str) -> RequestError:
        return RequestError(400, _BODY, f"not a form ({why[:200]})", f"{_FORM} with its boundary, whole")

    def _begin(self) -> None:
        self._parts += 1  # fields of one name replace each other, and count all the same
        if self._parts > 2 * self._limits.files:
            raise self._too_many("parts")
        self._headers, self._header = {}, (b"", b"")

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()], self._header = value, (b"", b"")

    def _open(self) -> None:
        """A part is a file where it bears a file's name, which is not looked at."""
        options = self._options(self._headers.get(b"content-disposition", b""))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")[:200]
        if b"filename" not in options and b"filename*" not in options:
            self._field = (name, bytearray())
            return
        if len(self._files) >= self._limits.files:
            raise self._too_many("files")
        part = Part(self._folder / f"part_{len(self._files) + 1}", name)
        self._file = part.path.open("xb")
        self._files.append(part)

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
        elif self._field is not None:
            self._field[1].extend(data[start:end])
            if len(self._field[1]) > _FIELD_BYTES:
                found = f"more than {_FIELD_BYTES} bytes in the field {self._field[0]!r}"
                raise RequestError(400, _BODY, found, "a short text; a file bears a file's name")

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
        elif self._field is not None:
            self._fields[self._field[0]] = self._field[1].decode("utf-8", "replace").strip()
        self._file = self._field = None

    def _done(self) -> None:
        self._whole = True

    def _too_many(self, what: str) -> RequestError:
        found = f"more than {self._limits.files * (1 if what == 'files' else 2)} {what}"
        return RequestError(413, _BODY, found, "a file for each channel, or one zip of DICOM files")
