"""NIfTI as the field reads it: nibabel decides what a header says.

Where an image lies is said by the sform where its code is above 0, else by the qform, else by the voxel sizes alone, as
nibabel, FSL, the Spinal Cord Toolbox and ITK-SNAP have it; the voxel size is that of the matrix that counts. A result
carries the header of its image: sizes, codes, quaternion and matrix to the bit, so that every viewer lays it on it.
"""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from autospine.data.formats.affine import farthest_mm, from_affine, split_shape, to_affine, unusable
from autospine.data.formats.integrity import damaged, read_exactly, unpacked
from autospine.data.formats.itk import nibabel
from autospine.data.geometry import Geometry, times
from autospine.errors import DataError

SUFFIXES = (".nii.gz", ".nii")
DISAGREE_MM = 0.1
"""Distance at a corner from which two places that a header names are told: beyond rounding, below a voxel."""
_VECTOR = 1007
"""NIFTI_INTENT_VECTOR: the fifth dimension holds the values of a voxel."""
_UNITS = {1: "metre", 3: "micrometre"}
"""Units of length other than the millimetre."""
_FORMS = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI", 5: "template"}


@dataclass(frozen=True)
class Header:
    """What the header of a file says."""

    fields: Any
    """nibabel's header."""
    geometry: Geometry
    channels: int
    kind: np.dtype[Any]
    """Type of a stored number."""
    start: int
    """Bytes before the voxels."""

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.geometry.shape) * self.channels * self.kind.itemsize


def read_header(path: Path) -> Header:
    """The header alone; raises as `read` does."""
    with path.open("rb") as file:
        return _header(path, unpacked(file))


def read(path: Path) -> tuple[npt.NDArray[Any], Geometry]:
    """The voxels (C, Z, Y, X), scaled as the header says, and their grid.

    The stream is followed to its end: its length has to be that of the header, and gzip's checksum to be right.

    Raises:
        DataError: no such header, damaged or cut off, more than four dimensions, complex voxels, no usable grid.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        stream = unpacked(file)
        header = _header(path, stream)
        stored = read_exactly(path, stream, header.start, header.size)
    return _as_channels(path, np.frombuffer(stored, header.kind), header), header.geometry


def remarks(geometry: Geometry) -> tuple[str, ...]:
    """What the header of the file that has this grid says twice and differently, or not at all."""
    return contradictions(_fields_of(geometry.nifti_header), geometry.shape[::-1])


def contradictions(fields: Any, shape: tuple[int, int, int]) -> tuple[str, ...]:
    """As `remarks`, of nibabel's header of a grid of (X, Y, Z) `shape`."""
    fields = _mended(fields)
    sform, qform = int(fields["sform_code"]), int(fields["qform_code"])
    said = []
    if max(sform, qform) <= 0:
        said.append(
            "neither sform nor qform says where it lies (codes 0): it is placed by its voxel sizes alone, as nibabel "
            "does, and which side is left is a mere convention"
        )
    if min(sform, qform) > 0:
        try:
            far = farthest_mm(fields.get_sform(), fields.get_qform(), shape)
            apart = f"place its corners up to {far:.3g} mm apart" if far > DISAGREE_MM else ""
        except (nibabel().spatialimages.HeaderDataError, ValueError) as fault:
            apart = f"disagree, since the qform cannot be used ({fault})"
        if apart:
            codes = f"sform (code {sform}, {_FORMS.get(sform, '?')}) and qform (code {qform}, {_FORMS.get(qform, '?')})"
            said.append(f"{codes} {apart}: the sform counts")
    if sform > 0:
        matrix, sizes = fields.get_sform(), np.asarray(fields["pixdim"][1:4], np.float64)
        held = np.linalg.norm(matrix[:3, :3], axis=0)
        resized = matrix @ np.diag([*(sizes / np.where(held > 0, held, 1)), 1.0])
        far = farthest_mm(matrix, resized, shape)
        if not far <= DISAGREE_MM:  # nor is a pixdim that is no number
            named = f"sform says voxels of {times(held[::-1].tolist())} mm, pixdim {times(sizes[::-1].tolist())} mm"
            said.append(f"{named} (Z x Y x X), {far:.3g} mm apart at a corner: the sform counts")
    unit = _UNITS.get(int(fields["xyzt_units"]) & 7)
    if unit is not None:
        said.append(f"its unit of length is the {unit}: its numbers are taken as millimetres, as nibabel does")
    return tuple(said)


def _mended(fields: Any) -> Any:
    """The header as nibabel mends it: voxel sizes of either sign are lengths, a sign of 0 (of the third axis) is 1."""
    mended = fields.copy()
    mended["pixdim"][1:4] = np.abs(mended["pixdim"][1:4])
    if mended["pixdim"][0] not in (-1, 1):
        mended["pixdim"][0] = 1
    return mended


def write(path: Path, array: npt.NDArray[Any], geometry: Geometry, packed: bool) -> None:
    """Write (C, Z, Y, X) under the header that the image of `geometry` was read with, or under a new one."""
    fields = _fields_for(geometry)
    pixdim = np.array(fields["pixdim"])
    if len(array) > 1:
        shape: tuple[int, ...] = (*geometry.shape[::-1], 1, len(array))
    else:
        shape = geometry.shape[::-1][: geometry.dimension]
    fields.set_data_dtype(array.dtype)
    fields.set_data_shape(shape)
    fields["pixdim"] = pixdim  # setting the shape clears those of the axes that are gone
    # what the voxels of the image meant is not what those of a result mean
    fields.set_slope_inter(1, 0)
    for key in ("cal_max", "cal_min", "intent_p1", "intent_p2", "intent_p3"):
        fields[key] = 0
    fields["intent_code"], fields["intent_name"] = _VECTOR if len(array) > 1 else 0, b""
    fields["magic"], fields["vox_offset"] = fields.single_magic, fields.single_vox_offset
    head = fields.binaryblock.ljust(fields.single_vox_offset, b"\0")
    content = head + array.astype(fields.get_data_dtype(), copy=False).tobytes()
    path.write_bytes(gzip.compress(content, 6, mtime=0) if packed else content)


def _header(path: Path, stream: IO[bytes]) -> Header:
    """The header that `stream` starts with."""
    library = nibabel()
    try:
        block = stream.read(540)
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise damaged(path, fault) from fault
    sizes = {int.from_bytes(block[:4], order) for order in ("little", "big")}
    made = library.Nifti2Header if 540 in sizes else library.Nifti1Header
    magic = block[4:8] if 540 in sizes else block[344:348]
    if (
        made.sizeof_hdr not in sizes
        or len(block) < made.sizeof_hdr
        or magic[:3] not in (b"n+1", b"n+2", b"ni1", b"ni2")
    ):
        found = "cannot be read as an image (no NIfTI header)"
        raise DataError(str(path), found, "a whole NIfTI file", "copy or export it again")
    if magic[:2] == b"ni":
        found = "its header says that the voxels lie in an .img file"
        raise DataError(str(path), found, "both in one file", "name it .hdr")
    try:
        fields = made(block[: made.sizeof_hdr], check=False)
        shape = tuple(int(edge) for edge in fields.get_data_shape())
        kind, start = fields.get_data_dtype(), int(fields["vox_offset"])
    except (library.spatialimages.HeaderDataError, KeyError, ValueError, OverflowError) as fault:
        raise unusable(path, f"its header cannot be understood ({fault})") from fault
    if len(shape) == 5 and int(fields["intent_code"]) == _VECTOR and shape[3] == 1:
        spatial, channels = split_shape(path, shape[: 2 if shape[2] == 1 else 3])[0], shape[4]
    else:
        spatial, channels = split_shape(path, shape)
    if kind.names:  # red, green and blue
        channels, kind = channels * len(kind.names), kind[0]
    if np.issubdtype(kind, np.complexfloating):
        raise DataError(str(path), "complex voxels", "real numbers", "save the magnitude image")
    if not np.issubdtype(kind, np.number):
        raise DataError(str(path), f"voxels of the type {kind}", "numbers", "save them as integers or floats")
    return Header(fields, _grid(path, fields, spatial), channels, kind, max(start, made.sizeof_hdr))


def _grid(path: Path, fields: Any, shape: tuple[int, ...]) -> Geometry:
    """The grid by the form that counts."""
    block, fields = fields.binaryblock, _mended(fields)
    try:
        if int(fields["sform_code"]) > 0:
            affine, said = fields.get_sform(), "sform"
        elif int(fields["qform_code"]) > 0:
            affine, said = fields.get_qform(), "qform"
        else:
            affine, said = fields.get_base_affine(), "pixdim"
    except (nibabel().spatialimages.HeaderDataError, ValueError) as fault:
        raise unusable(path, str(fault)) from fault
    along = fields.get_dim_info()[2] if len(shape) == 3 else None  # of x, y, z
    stated = None if along is None else 2 - along
    geometry = from_affine(path, affine, shape, said, fields["pixdim"][1:4])
    return replace(geometry, slice_axis=stated, nifti_header=block)


def _as_channels(path: Path, values: npt.NDArray[Any], header: Header) -> npt.NDArray[Any]:
    """Stored numbers as (C, Z, Y, X) in this machine's byte order, scaled."""
    library = nibabel()
    try:
        slope, inter = header.fields.get_slope_inter()
    except library.spatialimages.HeaderDataError as fault:
        raise unusable(path, f"its scaling: {fault}") from fault
    values = values.astype(header.kind.newbyteorder("="), copy=False)
    if slope is not None and (slope, inter) != (1.0, 0.0):
        values = library.volumeutils.apply_read_scaling(values, slope, inter)
    components = len(header.fields.get_data_dtype().names or (0,))  # which lie together in a voxel
    apart = values.reshape(header.channels // components, *header.geometry.shape, components)
    return np.ascontiguousarray(np.moveaxis(apart, -1, 1).reshape(header.channels, *header.geometry.shape))


def _fields_of(block: bytes) -> Any:
    """Nibabel's header of these bytes, NIfTI-1 or -2 by their number."""
    library = nibabel()
    made = library.Nifti1Header if len(block) == library.Nifti1Header.sizeof_hdr else library.Nifti2Header
    return made(block, check=False)


def _fields_for(geometry: Geometry) -> Any:
    """The header of the image of `geometry`; a new one where there is none, or that says another place."""
    if geometry.nifti_header:
        fields = _fields_of(geometry.nifti_header)
        if _grid(Path("header"), fields, geometry.shape[::-1][: geometry.dimension]) == geometry:
            return fields
    fields = nibabel().Nifti1Header()
    fields.set_data_shape(geometry.shape[::-1])
    affine = to_affine(geometry)
    fields.set_qform(affine, code=1)
    fields.set_sform(affine, code=1)
    fields.set_xyzt_units("mm")
    return fields
