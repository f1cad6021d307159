"""FreeSurfer's MGH, and headers with their voxels in a second file: Analyze 7.5 and NIfTI pairs, through nibabel."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.formats.affine import from_affine, split_shape, to_affine
from autospine.data.formats.integrity import check_claim, not_an_image, read_exactly, unpacked, voxels_of
from autospine.data.formats.itk import nibabel
from autospine.data.formats.nifti import contradictions
from autospine.data.geometry import Geometry
from autospine.data.wording import said
from autospine.errors import DataError, OutputError

MGH = (".mgz", ".mgh")
PAIRS = (".hdr",)
"""The voxels lie in a second file."""
SUFFIXES = MGH + PAIRS
_MGH_START = 284
"""Bytes before the voxels of an MGH file."""
_KINDS: tuple[type[np.generic], ...] = (np.uint8, np.int16, np.int32, np.float32)
"""All that MGH can hold."""


def voxels_beside(path: Path) -> Path:
    """The file with the voxels of such a header."""
    return path.with_suffix(".img")


def read_header(path: Path) -> tuple[Geometry, int]:
    """The grid and the channels, from the header alone; raises as `read` does."""
    if path.suffix.lower() in MGH:
        with path.open("rb") as file:
            return _grid(path, *_mgh_header(path, unpacked(file)))
    image = _load(path)
    return _grid(path, image.header, image.affine)


def read(path: Path) -> tuple[npt.NDArray[Any], Geometry]:
    """The voxels (C, Z, Y, X), scaled as the header says, and their grid.

    Raises:
        DataError: no such file, damaged or cut off, more than four dimensions, complex voxels, no usable grid.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() in MGH:
        with path.open("rb") as file:
            stream = unpacked(file)
            header, affine = _mgh_header(path, stream)
            geometry, channels = _grid(path, header, affine)
            kind = header.get_data_dtype()
            size = math.prod(geometry.shape) * channels * kind.itemsize
            values = np.frombuffer(read_exactly(path, stream, _MGH_START, size), kind)
    else:
        image = _load(path)
        geometry, channels = _grid(path, image.header, image.affine)
        holder = voxels_beside(path)
        check_claim(holder, math.prod(geometry.shape) * channels * image.get_data_dtype().itemsize)
        try:
            values = np.asanyarray(image.dataobj).ravel(order="F")
        except Exception as fault:  # cut off or damaged
            raise not_an_image(holder, said(fault)) from fault
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(values.reshape(channels, *geometry.shape)), geometry


def remarks(path: Path) -> tuple[str, ...]:
    """What the header of a readable file leaves open."""
    if path.suffix.lower() in MGH:
        return ()
    header = _load(path).header
    if hasattr(header, "get_qform"):  # a NIfTI pair
        return contradictions(header, read_header(path)[0].shape[::-1])
    return ("Analyze says neither where it lies nor which side is left: both are a mere convention (nibabel's)",)


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry) -> None:
    """Write (C, Z, Y, X) as MGH, packed where the suffix says so.

    Raises:
        OutputError: MGH has no type for such integers.
    """
    floats = np.issubdtype(array.dtype, np.floating)
    held = np.int32 if array.dtype == np.uint32 and array.max(initial=0) <= np.iinfo(np.int32).max else array.dtype
    kind = next((kind for kind in _KINDS if np.can_cast(held, kind)), np.float32 if floats else None)
    if kind is None:
        raise OutputError(str(path), f"MGH has no type for {array.dtype}", remedy="choose .nii.gz")
    values = np.moveaxis(array, 0, -1).transpose(2, 1, 0, 3).astype(kind)
    content = nibabel().MGHImage(values[..., 0] if len(array) == 1 else values, to_affine(geometry)).to_bytes()
    path.write_bytes(gzip.compress(content, 6, mtime=0) if path.suffix.lower() == ".mgz" else content)


def _mgh_header(path: Path, stream: Any) -> tuple[Any, npt.NDArray[np.float64]]:
    """The header at the start of a stream, and its affine."""
    try:
        header = nibabel().freesurfer.mghformat.MGHHeader.from_fileobj(stream)
        return header, header.get_affine()
    except Exception as fault:  # what is no such file fails anywhere in the parser
        raise not_an_image(path, said(fault)) from fault


def _load(path: Path) -> Any:
    """The image of two files as nibabel opens it, its voxels not yet read."""
    voxels_of(path, voxels_beside(path).name)
    try:
        return nibabel().load(path, mmap=False)
    except Exception as fault:  # what is no such file fails anywhere in the parser
        raise not_an_image(path, said(fault)) from fault


def _grid(path: Path, header: Any, affine: npt.NDArray[np.float64]) -> tuple[Geometry, int]:
    """Grid and channels of a header."""
    try:
        shape, kind = tuple(int(edge) for edge in header.get_data_shape()), header.get_data_dtype()
        zooms = header.get_zooms()
    except Exception as fault:
        raise not_an_image(path, said(fault)) from fault
    spatial, channels = split_shape(path, shape)
    if np.issubdtype(kind, np.complexfloating) or not np.issubdtype(kind, np.number):
        raise DataError(str(path), f"voxels of the type {kind}", "real numbers", "save them as integers or floats")
    sizes = np.ones(3)
    sizes[: len(spatial)] = zooms[: len(spatial)]
    return from_affine(path, affine, spatial, "matrix", sizes), channels
