"""Whether an image file holds every voxel that its header promises.

ITK reads a damaged compressed MHA without a complaint and leaves zeros or noise where the rest was. Here the stream is
followed to its end in small pieces, before memory is taken for the image: checksum and length must agree with the
header. A header may name another file as the place of the voxels where that is a file of its own folder.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import unreadable
from autospine.data.wording import said
from autospine.errors import DataError

ZLIB_OR_GZIP = 47
"""Of zlib's window bits: whichever of the two the first bytes say."""
_CHUNK = 1 << 20
_HEAD = 1 << 16
# Deflate cannot shrink data more than 1032 times (zlib.net/zlib_tech.html); what claims more than that is not there.
_DEFLATE_RATIO = 1032
# Below this a wrong claim costs nothing, and PNG or TIFF with less than 8 bits a voxel stays out of the rule.
_HARMLESS_BYTES = 256 << 20
_AGAIN = "copy or export the file again"
_META, _NRRD = (".mha", ".mhd"), (".nrrd", ".nhdr")
_META_FILE = re.compile(rb"(?m)^ElementDataFile\s*=\s*(.*?)\s*?(?:\n|\Z)")
_NRRD_FILE = re.compile(rb"(?mi)^data ?file:\s*(.*?)\s*$")
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
"""Of a value by its type, which stands behind `MET_`, or `MET_U` for the unsigned ones."""


def check_whole(path: Path, values: int, value_bytes: int) -> None:
    """Raise a `DataError` when `path` cannot hold the image of its header.

    `values` counts voxels times components and `value_bytes` is the size of one in memory.
    """
    try:
        holder = detached_voxels(path)
        if path.name.lower().endswith(_META):
            with path.open("rb") as file:
                _check_meta(path, holder, file, values)
    except OSError as fault:
        raise unreadable(path, fault) from fault
    check_claim(holder or path, values * value_bytes)


def detached_voxels(path: Path) -> Path | None:
    """The file beside `path` that its header says to hold the voxels; None where they follow the header.

    A header from elsewhere could have any file of this machine read as an image: one that lies anywhere else, or
    several, are refused, and so is one in a header whose name does not tell.

    Raises:
        DataError: another file than that, or one that is not there.
        OSError: the header cannot be read.
    """
    name = path.name.lower()
    if not name.endswith(_META + _NRRD):
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    pattern = _META_FILE if name.endswith(_META) else _NRRD_FILE
    fields = head if name.endswith(_META) else head.replace(b"\r\n", b"\n").split(b"\n\n")[0]
    found = pattern.search(fields)
    if found is None or found.group(1).upper() == b"LOCAL":
        return None
    named = found.group(1).decode("utf-8", "replace")
    plain = named not in (".", "..") and not re.search(r"[/\\\x00%]", named) and not named.upper().startswith("LIST")
    if not name.endswith((".mhd", ".nhdr")) or not plain:
        said = f"its header names another file that holds the voxels ({named[:80]!r})"
        expected = "header and voxels in one file, or an .mhd or .nhdr with the one beside it"
        raise DataError(str(path), said, expected, "convert it")
    return voxels_of(path, named)


def voxels_of(path: Path, name: str) -> Path:
    """The file of this name beside the header `path`; `DataError` where it is not there."""
    holder = path.with_name(name)
    if not holder.is_file():
        raise DataError(str(path), f"no {name} beside it, where its voxels lie", "header and voxels", "copy both files")
    return holder


def check_claim(path: Path, claimed: int) -> None:
    """Raise a `DataError` when a file of this size cannot hold `claimed` bytes, however well they were packed."""
    held = path.stat().st_size
    if claimed > max(_HARMLESS_BYTES, _DEFLATE_RATIO * held):
        raise cut_off(path, held, claimed)


def _check_meta(path: Path, holder: Path | None, file: IO[bytes], values: int) -> None:
    """Compare the voxels of a MetaImage, in `holder` or behind its header, with that.

    A packed stream is unpacked and its checksum verified; of one that goes on behind the voxels, no more is unpacked.
    """
    head = file.read(_HEAD)
    end = _META_FILE.search(head)
    if end is None:
        raise cut_off(path, len(head), values)
    if holder is None:
        _check_stream(path, file, head[: end.end()], end.end(), values)
    else:
        with holder.open("rb") as voxels:
            _check_stream(holder, voxels, head[: end.end()], 0, values)


def _check_stream(path: Path, file: IO[bytes], header: bytes, start: int, values: int) -> None:
    """Compare the voxels that begin at `start` of `file` with the `header` of a MetaImage."""
    kind = re.search(rb"(?m)^ElementType\s*=\s*MET_U?(\w+)", header)
    value_bytes = _META_BYTES.get(kind.group(1).decode()) if kind else None
    if value_bytes is None or re.search(rb"(?mi)^BinaryData\s*=\s*False", header):
        return
    claimed = values * value_bytes
    if not re.search(rb"(?mi)^CompressedData\s*=\s*True", header):
        held = path.stat().st_size - start
    else:
        file.seek(start)
        unpack, held = zlib.decompressobj(wbits=ZLIB_OR_GZIP), 0
        try:
            while not unpack.eof and held <= claimed and (piece := file.read(_CHUNK)):
                while piece and not unpack.eof and held <= claimed:
                    held += len(unpack.decompress(piece, _CHUNK))
                    piece = unpack.unconsumed_tail
        except zlib.error as fault:
            raise DataError(str(path), f"damaged ({fault})", remedy=_AGAIN) from fault
    if held < claimed:
        raise cut_off(path, held, claimed)


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """The file, or what is packed in it."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file


def read_exactly(path: Path, stream: IO[bytes], start: int, size: int) -> bytearray:
    """The `size` bytes from `start` on of a stream, which is read to its end: gzip's checksum stands there.

    Raises `DataError` where there are fewer, or the file cannot hold them; memory is taken after that is known.
    """
    check_claim(path, size)
    check_claim(path, start)
    held, view = 0, memoryview(content := bytearray(size))
    try:
        stream.seek(start)
        while held < size and (piece := stream.read(min(_CHUNK, size - held))):
            view[held : held + len(piece)] = piece
            held += len(piece)
        while stream.read(_CHUNK):
            pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise damaged(path, fault) from fault
    if held < size:
        raise cut_off(path, held, size)
    return content


def damaged(path: Path, fault: Exception) -> DataError:
    """The error of a packed file that cannot be unpacked."""
    return DataError(str(path), f"damaged or cut off ({said(fault)})", "a whole file", _AGAIN)


def not_an_image(path: Path, why: str) -> DataError:
    """The error of a file that a library does not understand, which says `why`."""
    return DataError(str(path), f"cannot be read as an image ({why})", remedy=f"{_AGAIN}, or convert it")


def check_finite(path: Path, array: npt.NDArray[Any]) -> None:
    """Raise a `DataError` where voxels of `path` are NaN or infinite."""
    if np.issubdtype(array.dtype, np.floating) and not (finite := np.isfinite(array)).all():
        found = f"{int(array.size - finite.sum())} voxels are NaN or infinite"
        raise DataError(str(path), found, "finite numbers", "replace them or export the image again")


def cut_off(path: Path, held: int, claimed: int) -> DataError:
    """The error of a file that is shorter than its header says."""
    found = f"damaged or cut off: it holds {held} bytes"
    return DataError(str(path), found, f"{claimed} bytes, as its header says", _AGAIN)
