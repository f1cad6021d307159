"""Whether an image file holds every voxel that its header promises.

ITK reads a NIfTI file that was cut off while it was copied without a complaint and leaves zeros or noise where the
rest was, and it does the same with a damaged compressed MHA. Here the stream is followed to its end in small pieces,
before memory is taken for the image: checksum and length must agree with the header, and the header may not name
another file as the place of the voxels.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from autospine.errors import DataError

_CHUNK = 1 << 20
_HEAD = 1 << 16
# Deflate cannot shrink data more than 1032 times (zlib.net/zlib_tech.html); what claims more than that is not there.
_DEFLATE_RATIO = 1032
# Below this a wrong claim costs nothing, and PNG or TIFF with less than 8 bits a voxel stays out of the rule.
_HARMLESS_BYTES = 256 << 20
_NIFTI_FLOATS = {16: "f4", 64: "f8"}
_META_BYTES = {
    b"MET_CHAR": 1,
    b"MET_UCHAR": 1,
    b"MET_SHORT": 2,
    b"MET_USHORT": 2,
    b"MET_INT": 4,
    b"MET_UINT": 4,
    b"MET_LONG": 4,
    b"MET_ULONG": 4,
    b"MET_LONG_LONG": 8,
    b"MET_ULONG_LONG": 8,
    b"MET_FLOAT": 4,
    b"MET_DOUBLE": 8,
}


def check_whole(path: Path, values: int, value_bytes: int) -> None:
    """Raise a `DataError` when `path` cannot hold the image of its header.

    `values` counts voxels times components and `value_bytes` is the size of one in memory; NIfTI and MHA headers are
    read here again, since what they store may be smaller (scaled integers).
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            name = path.name.lower()
            if name.endswith((".nii", ".nii.gz")):
                _check_nifti(path, file, head)
            elif name.endswith(".mha"):
                _check_meta(path, file, head, values)
            elif name.endswith(".nrrd") and re.search(rb"(?mi)^data ?file:", head.split(b"\n\n")[0]):
                raise _detached(path)
    except OSError as fault:
        raise DataError(str(path), f"cannot be read ({fault.strerror or fault})") from fault
    claimed = values * value_bytes
    if claimed > max(_HARMLESS_BYTES, _DEFLATE_RATIO * path.stat().st_size):
        raise _cut_off(path, path.stat().st_size, claimed)


def _check_nifti(path: Path, file: IO[bytes], head: bytes) -> None:
    """Compare the length of a NIfTI file, unpacked, with its header; gzip's checksum is verified on the way.

    ITK turns NaN and infinity of NIfTI files into 0, so they are looked for here too.
    """
    file.seek(0)
    packed = head[:2] == b"\x1f\x8b"
    stream = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
    not_finite = 0
    try:
        start = stream.read(540)
        found = _nifti_header(start)
        if found is None:
            raise DataError(str(path), "no NIfTI header", "a whole NIfTI file", "copy or export the file again")
        offset, size, kind = found
        stream.seek(offset)
        held = 0
        while piece := stream.read(_CHUNK):
            if kind is not None:
                voxels = piece[: max(0, size - held)]  # what may follow them is none of the image
                values = np.frombuffer(voxels, kind, len(voxels) // kind.itemsize)
                not_finite += values.size - int(np.isfinite(values).sum())
            held += len(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(
            str(path), f"damaged or cut off ({fault})", "a whole .nii.gz file", "copy or export the file again"
        ) from fault
    if held < size:
        raise _cut_off(path, held, size)
    if not_finite:
        raise non_finite(path, not_finite)


def _nifti_header(head: bytes) -> tuple[int, int, np.dtype[Any] | None] | None:
    """Where the voxels of a NIfTI-1 or NIfTI-2 file start, their bytes and, of floating-point ones, the type.

    None for a header of neither kind.
    """
    for order in "<>":
        dimensions: tuple[int, ...]
        if len(head) >= 348 and head[:4] == struct.pack(order + "i", 348):
            dimensions = struct.unpack_from(order + "8h", head, 40)
            code, bits = struct.unpack_from(order + "2h", head, 70)
            offset = struct.unpack_from(order + "f", head, 108)[0]
        elif len(head) >= 540 and head[:4] == struct.pack(order + "i", 540):
            dimensions = struct.unpack_from(order + "8q", head, 16)
            code, bits = struct.unpack_from(order + "2h", head, 12)
            offset = struct.unpack_from(order + "q", head, 168)[0]
        else:
            continue
        count = math.prod(max(1, size) for size in dimensions[1 : 1 + max(0, min(7, dimensions[0]))])
        start = max(0, int(offset)) if math.isfinite(offset) else 0
        kind = np.dtype(order + _NIFTI_FLOATS[code]) if code in _NIFTI_FLOATS else None
        return start, count * max(0, int(bits)) // 8, kind
    return None


def _check_meta(path: Path, file: IO[bytes], head: bytes, values: int) -> None:
    """Compare the voxels of an MHA file with its header; a packed stream is unpacked and its checksum verified."""
    end = re.search(rb"(?m)^ElementDataFile\s*=\s*(.*?)\s*?\n", head)
    if end is None or end.group(1).upper() != b"LOCAL":
        raise _detached(path)
    header = head[: end.end()]
    kind = re.search(rb"(?m)^ElementType\s*=\s*(\w+)", header)
    if kind is None or kind.group(1) not in _META_BYTES or re.search(rb"(?mi)^BinaryData\s*=\s*False", header):
        return
    claimed = values * _META_BYTES[kind.group(1)]
    if not re.search(rb"(?mi)^CompressedData\s*=\s*True", header):
        held = path.stat().st_size - end.end()
    else:
        file.seek(end.end())
        unpack = zlib.decompressobj(wbits=47)  # zlib or gzip, told by its first bytes
        held = 0
        try:
            while not unpack.eof and (piece := file.read(_CHUNK)):
                while piece and not unpack.eof:
                    held += len(unpack.decompress(piece, _CHUNK))
                    piece = unpack.unconsumed_tail
        except zlib.error as fault:
            raise DataError(str(path), f"damaged ({fault})", "", "copy or export the file again") from fault
    if held < claimed:
        raise _cut_off(path, held, claimed)


def non_finite(path: Path, count: int) -> DataError:
    """The error of an image with NaN or infinite voxels."""
    return DataError(
        str(path), f"{count} voxels are NaN or infinite", "finite numbers", "replace them or export the image again"
    )


def _cut_off(path: Path, held: int, claimed: int) -> DataError:
    """The error of a file that is shorter than its header says."""
    return DataError(
        str(path),
        f"damaged or cut off: it holds {held} bytes",
        f"{claimed} bytes, as its header says",
        "copy or export the file again",
    )


def _detached(path: Path) -> DataError:
    """The error of a header that names another file."""
    return DataError(
        str(path), "its header names another file that holds the voxels", "header and voxels in one file", "convert it"
    )
