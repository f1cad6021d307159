"""Image files as arrays with their place in space, read and written by SimpleITK.

This is where SimpleITK's x, y, z order ends: arrays are (C, Z, Y, X).
"""

from __future__ import annotations

import gzip
import math
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data import dicom
from autospine.data.dicom_files import is_dicom
from autospine.data.files import atomic_path, check_name, read_json
from autospine.data.geometry import Geometry, Volume, point, times
from autospine.data.integrity import check_whole, non_finite
from autospine.data.itk import reason, sitk
from autospine.errors import DataError, OutputError

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".tif", ".tiff")

_NIFTI = (".nii.gz", ".nii")
_KEY_VALUE = (".mha", ".nrrd")
# Of a NIfTI header only what says nothing about grid, type or scaling: those belong to the image, not to a result.
_NIFTI_KEYS = ("ITK_FileNotes", "aux_file", "qform_code", "sform_code")


def suffix_of(path: Path) -> str:
    """The image suffix of a file name (`.nii.gz` as one), empty where it is none of `IMAGE_SUFFIXES`."""
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix) and name != suffix), "")


def stem(path: Path) -> str:
    """The file's name without its image suffix: `case.nii.gz` -> `case`."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.stem


def is_series(path: Path) -> bool:
    """Whether `path` is read as DICOM: a folder, which stands for the series in it, or a DICOM file of any name."""
    return path.is_dir() or (not suffix_of(path) and is_dicom(path))


def read_geometry(path: Path) -> Geometry:
    """The grid of an image from its header alone; raises `DataError` as `read_volume` does."""
    path = Path(path)
    return dicom.series_geometry(path) if is_series(path) else _geometry(path, _open(path))


def read_channels(path: Path) -> int:
    """The number of values a voxel holds (1, 3 for RGB, the fourth size of a 4D file), from the header alone."""
    path = Path(path)
    return 1 if is_series(path) else _channels(_open(path))


def read_volume(path: Path) -> Volume:
    """The image as it lies in the file, (C, Z, Y, X): any of `IMAGE_SUFFIXES`, a `.dcm` file or a DICOM series' folder.

    The fourth dimension of a 4D file is its channels.

    Raises `DataError` naming the file where it is missing, not an image, damaged or cut off, of more than four
    dimensions, complex, with NaN or infinite voxels, or without a usable grid (spacing, origin or direction not
    finite, axes not at right angles).
    """
    path = Path(path)
    if is_series(path):
        return dicom.read_series(path)
    reader = _open(path)
    geometry = _geometry(path, reader)
    components = _channels(reader)
    bits = re.search(r"(\d+)-bit", sitk().GetPixelIDValueAsString(reader.GetPixelID()))
    check_whole(path, math.prod(geometry.shape) * components, int(bits[1]) // 8 if bits else 1)
    try:
        image = reader.Execute()
    except (RuntimeError, MemoryError) as fault:
        raise _unreadable(path, fault) from fault
    array: npt.NDArray[Any] = sitk().GetArrayFromImage(image)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise non_finite(path, int(array.size - np.isfinite(array).sum()))
    if int(reader.GetNumberOfComponents()) > 1:
        array = np.moveaxis(array, -1, 0)
    return Volume(np.ascontiguousarray(array.reshape(components, *geometry.shape)), geometry, _metadata(path, image))


def write_volume(path: Path, volume: Volume) -> None:
    """Write the image in the format of the suffix, whole or not at all.

    Integers without negative values take the smallest unsigned type that holds them. 2D grids are written as 2D
    files. Raises `OutputError` where the folder cannot be written or the format cannot hold the image.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if not suffix:
        raise OutputError(str(path), "not a format that can be written", ", ".join(IMAGE_SUFFIXES))
    check_name(path, OutputError)
    geometry = volume.geometry
    if volume.array.ndim != 4 or volume.array.shape[1:] != geometry.shape:
        raise ValueError(f"array of shape {volume.array.shape} on a grid of {geometry.shape}")
    array = _smallest(volume.array)
    array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    size = geometry.dimension
    image = sitk().GetImageFromArray(array[0] if size == 2 else array, isVector=len(volume.array) > 1)
    image.SetSpacing(geometry.spacing_mm[::-1][:size])
    image.SetOrigin(geometry.origin_mm[:size])
    image.SetDirection(np.asarray(geometry.direction).reshape(3, 3)[:size, :size].ravel().tolist())
    metadata = dict(volume.metadata)
    for key, value in metadata.items():
        if (suffix in _NIFTI) == (key in _NIFTI_KEYS) and suffix in _NIFTI + _KEY_VALUE:
            image.SetMetaData(key, value)
    with atomic_path(path) as temporary:
        try:
            sitk().WriteImage(image, str(temporary), useCompression=suffix != ".nii")
        except RuntimeError as fault:
            raise OutputError(
                str(path), f"cannot be written ({reason(fault)})", remedy="choose another folder or .nii.gz"
            ) from fault
        if suffix in _NIFTI:
            _set_form_codes(temporary, metadata)


def _open(path: Path) -> Any:
    """A reader that has read the header of a 2D or 3D real-valued image."""
    path = Path(path)
    if not path.is_file():
        raise DataError(str(path), "no such file")
    if not suffix_of(path):
        raise DataError(str(path), "not an image format that is read", ", ".join(IMAGE_SUFFIXES))
    check_name(path)
    reader = sitk().ImageFileReader()
    if suffix_of(path) == ".mha":  # which ITK does not know by a suffix in upper case
        reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except (RuntimeError, MemoryError) as fault:
        raise _unreadable(path, fault) from fault
    if reader.GetDimension() not in (2, 3, 4) or (reader.GetDimension() == 4 and reader.GetNumberOfComponents() > 1):
        raise DataError(
            str(path),
            f"an image of {reader.GetDimension()} dimensions ({times(reader.GetSize())})",
            "2 or 3 dimensions, a fourth for channels",
            "save each time point or channel as a file of its own (case_0000, case_0001, ...)",
        )
    if "complex" in sitk().GetPixelIDValueAsString(reader.GetPixelID()):
        raise DataError(str(path), "complex voxels", "real numbers", "save the magnitude image")
    return reader


def _geometry(path: Path, reader: Any) -> Geometry:
    """The grid in the header of an opened reader."""
    stored = int(reader.GetDimension())
    size = min(stored, 3)
    direction = np.eye(3)
    direction[:size, :size] = np.asarray(reader.GetDirection()).reshape(stored, stored)[:size, :size]
    shape = (1, *reader.GetSize()[::-1])[-3:]
    spacing = (_tiff_spacing(path) or (1.0, *reader.GetSpacing()[::-1]))[-3:]
    origin = (*reader.GetOrigin(), 0.0)[:3]
    numbers = [*spacing, *origin, *direction.ravel()]
    orthonormal = np.allclose(direction.T @ direction, np.eye(3), atol=1e-2)
    if not np.all(np.isfinite(numbers)) or min(spacing) <= 0 or not orthonormal or min(shape) < 1:
        raise DataError(
            str(path),
            f"no usable grid: {times(shape)} voxels of {times(spacing)} mm at {point(origin)}",
            "finite numbers, positive spacing and axes at right angles",
            "export the image again or correct its header",
        )
    return Geometry(
        (int(shape[0]), int(shape[1]), int(shape[2])),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        tuple(direction.ravel().tolist()),
        size,
    )


def _channels(reader: Any) -> int:
    """Values of a voxel in an opened reader."""
    held = int(reader.GetNumberOfComponents())
    return held * int(reader.GetSize()[3]) if reader.GetDimension() == 4 else held


def _tiff_spacing(path: Path) -> tuple[float, ...] | None:
    """Voxel size (Z, Y, X) of a TIFF volume, which has no place for one: nnU-Net's `<case>.json` beside it."""
    if suffix_of(path) not in (".tif", ".tiff"):
        return None
    for name in (stem(path), re.sub(r"_\d{4}$", "", stem(path))):
        beside = path.with_name(f"{name}.json")
        if beside.is_file():
            content = read_json(beside)
            spacing = content.get("spacing") if isinstance(content, dict) else None
            if (
                not isinstance(spacing, list)
                or len(spacing) not in (2, 3)
                or not all(isinstance(step, int | float) and step > 0 for step in spacing)
            ):
                raise DataError(str(beside), f'"spacing" is {spacing!r}', "three sizes in mm, [4.0, 1.0, 1.0]")
            return (1.0, *map(float, spacing))[-3:]
    return None


def _metadata(path: Path, image: Any) -> tuple[tuple[str, str], ...]:
    """Header fields worth keeping: notes and codes of NIfTI, key-value pairs of the user in NRRD and MHA."""
    suffix = suffix_of(path)
    kept = []
    for key in sorted(image.GetMetaDataKeys()):
        own = key in _NIFTI_KEYS if suffix in _NIFTI else suffix in _KEY_VALUE and _is_user_key(key)
        value = image.GetMetaData(key) if own else ""
        if value and value.isprintable():
            kept.append((key, value))
    return tuple(kept)


def _is_user_key(key: str) -> bool:
    """Whether a field was put there by the user: not by ITK, not a part of the grid."""
    return re.fullmatch(r"[A-Za-z_][\w.-]*", key) is not None and not key.startswith(("ITK_", "NRRD_", "Modality"))


def _smallest(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in the smallest unsigned type where it holds integers from 0, in a writable type else."""
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if np.issubdtype(array.dtype, np.integer) and array.size and array.min() >= 0:
        return array.astype(np.min_scalar_type(int(array.max())))
    return array


def _set_form_codes(path: Path, metadata: dict[str, str]) -> None:
    """Put the input's qform and sform codes into a NIfTI file; ITK always writes 1 (scanner)."""
    codes = tuple(metadata.get(key, "1") for key in ("qform_code", "sform_code"))
    if codes in (("1", "1"), ("0", "0")) or not all(re.fullmatch("[0-5]", code) for code in codes):
        return
    packed = path.name.endswith(".gz")
    content = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    content[252:256] = struct.pack("=2h", int(codes[0]), int(codes[1]))
    path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def _unreadable(path: Path, fault: Exception) -> DataError:
    """The error of a file that SimpleITK cannot read."""
    return DataError(
        str(path), f"cannot be read as an image ({reason(fault)})", "", "copy or export the file again, or convert it"
    )
