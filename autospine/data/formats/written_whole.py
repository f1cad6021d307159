"""Whether ITK has written an image to its end: where the disk is full, it may leave less of it, in silence.

Comparing voxels is not enough: a label map that was cut off in its empty end reads as the same one.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from autospine.data.formats.integrity import ZLIB_OR_GZIP
from autospine.data.formats.itk import sitk

_PACKED_AFTER = {
    ".mha": (b"CompressedData = True", b"ElementDataFile = LOCAL\n"),
    ".nrrd": (b"encoding: gz", b"\n\n"),
}
"""What a header says where the voxels are packed, and what it ends with."""
_PNG_END = b"IEND\xaeB`\x82"


def is_written(path: Path, image: Any) -> bool:
    """Whether the file reads as `image`, an image of SimpleITK, and nothing is missing at its end."""
    try:
        found, expected = (sitk().GetArrayFromImage(one).ravel() for one in (sitk().ReadImage(str(path)), image))
    except RuntimeError:
        return False
    floats = np.issubdtype(expected.dtype, np.floating)
    return np.array_equal(found, expected, equal_nan=floats) and _has_its_end(path)


def _has_its_end(path: Path) -> bool:
    """Whether the packed voxels end with their checksum, and a picture with its last chunk."""
    content = path.read_bytes()
    if path.suffix == ".png":
        return content.endswith(_PNG_END)
    said, header_end = _PACKED_AFTER.get(path.suffix, (b"", b""))
    head, _, packed = content.partition(header_end) if header_end else (b"", b"", b"")
    if not header_end or said not in head:
        return True  # TIFF: its directory comes last, and ITK has read it; unpacked: every byte was compared
    stream = zlib.decompressobj(wbits=ZLIB_OR_GZIP)
    try:
        stream.decompress(packed)
    except zlib.error:
        return False
    return stream.eof
