"""What a client is told where it gets no segmentation: a status of HTTP, and the four parts of every error."""

from __future__ import annotations

import os
from pathlib import Path

from autospine.data.disk.files import NO_ROOM
from autospine.errors import AutospineError, DataError, OutputError

RETRY_S = 5
"""Seconds after which a client that was sent away may come again (ours)."""


class RequestError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        """`status` is that of HTTP; the rest as of `AutospineError`."""
        super().__init__(status, where, found)
        self.status = status
        self.parts = {"where": where, "found": found, "expected": expected, "remedy": remedy}

    @property
    def headers(self) -> dict[str, str]:
        """Of HTTP, that belong to the status."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {"Retry-After": str(RETRY_S)} if self.status == 503 else {}


def refusal_of(error: AutospineError, folder: Path) -> RequestError:
    """The answer to a user's error; where it names what lies in the private `folder`, it names the upload alone.

    A fault of a file is 400, one of the image as the model takes it 422, a full disk 503, a model that does not
    compute 500.
    """
    status = 500
    if isinstance(error, DataError):
        status = 400 if error.where.startswith((str(folder), os.path.realpath(folder))) else 422
    elif isinstance(error, OutputError):
        status = 503 if getattr(error.__cause__, "errno", None) in NO_ROOM else 422
    if status == 503:
        return no_room()
    parts = (without_folder(part, folder) for part in (error.where, error.found, error.expected, error.remedy))
    return RequestError(status, *parts)


def no_room() -> RequestError:
    """The refusal of what a full disk has no room for."""
    found = "no room for this request on the server's disk"
    return RequestError(503, "server", found, remedy="send it again later")


def without_folder(text: str, folder: Path) -> str:
    """`text` in which files of the private `folder` have the names that they have in it."""
    for place in {str(folder), os.path.realpath(folder)}:
        text = text.replace(place + os.sep, "").replace(place, "upload")
    return text
