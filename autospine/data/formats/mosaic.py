"""Siemens mosaics: all slices of a volume as tiles of one image, which must not pass for one slice.

The positions of the slices stand in a private header alone, if they stand anywhere, so that a mosaic is refused and not
cut up. The enhanced images of newer scanners hold a position for each frame and are no mosaics.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from autospine.data.formats.dicom_files import open_header
from autospine.errors import DataError

_GROUP, _CSA = 0x0019, 0x00291010
_CREATOR = "SIEMENS MR HEADER"
_COUNT = "NumberOfImagesInMosaic"
_BLOCKS = range(0x10, 0x20)
TAGS: tuple[str | int, ...] = (
    "ImageType",
    *(_GROUP << 16 | block for block in _BLOCKS),
    *(_GROUP << 16 | block << 8 | 0x0A for block in _BLOCKS),
)
"""What is read of a header to tell: the kind of image, and the count of tiles wherever Siemens' block of it lies."""


def refuse_mosaic(path: Path, header: Any) -> None:
    """Raise `DataError` where the single image of `header` (with `TAGS`) is a mosaic."""
    said = {str(value).upper() for value in _values(header.get("ImageType"))}
    tiles = _tiles(header)
    if not said and not tiles:  # an archive took the kind of image out; the scanner's own header may still say it
        tiles = _tiles_of_scanner(path)
    if "MOSAIC" not in said and tiles < 2:
        return
    count = f"{tiles} slices" if tiles > 1 else "all slices of a volume"
    found = f"a mosaic (Siemens): {count} as tiles of one image"
    remedy = "export the series again as one of these, or convert it with dcm2niix and give the NIfTI file"
    raise DataError(str(path), found, "an image per slice, or an enhanced multi-frame image", remedy)


def _values(value: Any) -> tuple[Any, ...]:
    """Of an element with one value or several."""
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _tiles(header: Any) -> int:
    """What (0019,xx0A) counts, 0 where it is not there or not Siemens'."""
    for block in _BLOCKS:
        creator, count = header.get(_GROUP << 16 | block), header.get(_GROUP << 16 | block << 8 | 0x0A)
        if creator is None or count is None or str(creator.value).strip() != _CREATOR:
            continue
        # without its type in the header, a private value comes as bytes
        value = count.value
        if isinstance(value, bytes):
            return int.from_bytes(value, "little")
        return int(value) if str(value).strip().isdigit() else 0
    return 0


def _tiles_of_scanner(path: Path) -> int:
    """What the scanner's own header (CSA, version 2) counts, 0 where it does not.

    An element there: name (64 bytes), three numbers and a type of 4 bytes each, the count of items, a mark; then items,
    each four numbers, of which the second is the length of the text behind them.
    """
    held = open_header(path, [_CSA]).get(_CSA)
    raw = held.value if held is not None and isinstance(held.value, bytes) else b""
    at = raw.find(_COUNT.encode() + b"\0")
    if at < 0 or len(raw) < at + 100 or not struct.unpack_from("<i", raw, at + 76)[0]:
        return 0
    length = struct.unpack_from("<i", raw, at + 88)[0]
    text = raw[at + 100 : at + 100 + max(0, length)].split(b"\0")[0].strip()
    return int(text) if text.isdigit() else 0
