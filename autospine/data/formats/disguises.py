"""What a file is that bears the name of an image and is none.

A download that fetched the pointer instead of the data, a page that says 404, a file that was packed or renamed: the
first bytes tell them, where a reader of images only says that it does not understand them.
"""

from __future__ import annotations

import os
from pathlib import Path

from autospine.errors import DataError

_HEAD = 1024
_LFS = "git lfs pull fetches the data"
_ANNEX = "git annex get (or datalad get) fetches the data"
_UNPACK = "unpack it"
_RENAME = "rename it, or convert it"
_STARTS = (
    (b"version https://git-lfs.github.com/spec", "a Git LFS pointer, not the file that it stands for", _LFS),
    (b"<!doctype html", "a web page", "download the file again"),
    (b"<html", "a web page", "download the file again"),
    (b"PK\x03\x04", "a ZIP archive", _UNPACK),
    (b"BZh", "packed with bzip2", _UNPACK),
    (b"\xfd7zXZ\x00", "packed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"\x89PNG\r\n", "a PNG image", _RENAME),
    (b"\xff\xd8\xff", "a JPEG image", _RENAME),
    (b"nrrd", "an NRRD image", _RENAME),
)
_OWN = {b"\x89PNG\r\n": (".png",), b"nrrd": (".nrrd", ".nhdr")}
"""Names that such a file bears rightly."""


def disguised(path: Path) -> DataError | None:
    """The error of a file that is something else than the image it is called; None where nothing tells."""
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        remedy = _ANNEX if "/annex/objects/" in target else "bring back what it points to"
        return DataError(str(path), f"no such file: a link to {target}, which is not there", "an image", remedy)
    if path.exists() and not path.is_file():  # whoever opens a pipe waits for the other end
        found = "a folder" if path.is_dir() else "a pipe or a device"
        return DataError(str(path), f"{found}, not a file", "an image", "take it away, or rename it")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    name = path.name.lower()
    expected = "an image"
    if not head:
        return DataError(str(path), "an empty file (0 bytes)", expected, "copy or export the file again")
    if head[:2] == b"\x1f\x8b" and not name.endswith((".gz", ".mgz")):
        found = f"packed with gzip, under a name that ends in {path.suffix}"
        remedy = f"rename it to {path.name}.gz" if name.endswith(".nii") else _UNPACK
        return DataError(str(path), found, expected, remedy)
    if b"/annex/objects/" in head:
        return DataError(str(path), "a git-annex pointer, not the file that it stands for", expected, _ANNEX)
    if head[128:132] == b"DICM":
        return DataError(str(path), "a DICOM file", expected, "give it the suffix .dcm, or convert it")
    for start, found, remedy in _STARTS:
        held = head.lstrip() if start.startswith(b"<") else head
        if held.lower().startswith(start.lower()) and not name.endswith(_OWN.get(start, ("\0",))):
            return DataError(str(path), found, expected, remedy)
    return None
