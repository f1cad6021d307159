"""Image files as arrays with their place in space: the one door to all formats.

NIfTI goes through nibabel (`nifti`), as do MGH and Analyze (`freesurfer`), DICOM through `dicom`, all else through
SimpleITK here. This is where their x, y, z order ends: arrays are (C, Z, Y, X).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.disk.files import atomic_path, check_name, read_json, unreadable, unwritable
from autospine.data.formats import dicom, freesurfer, nifti
from autospine.data.formats.affine import other_dimensions, usable_grid
from autospine.data.formats.dicom_files import addressed, is_dicom
from autospine.data.formats.disguises import disguised
from autospine.data.formats.integrity import check_finite, check_whole, detached_voxels, not_an_image
from autospine.data.formats.itk import reason, sitk
from autospine.data.formats.written_whole import is_written
from autospine.data.geometry import Geometry, Triple, Volume, triple
from autospine.errors import DataError, OutputError

PICTURES = (".png", ".tif", ".tiff")
WRITTEN_AS = {
    **{suffix: suffix for suffix in (*nifti.SUFFIXES, ".mha", ".nrrd", *PICTURES, *freesurfer.MGH)},
    # two files for one image could be parted, and would not appear at once
    ".mhd": ".mha",
    ".nhdr": ".nrrd",
    ".hdr": ".nii.gz",
}
"""Formats that are read, and in which a result on such an image is written."""
IMAGE_SUFFIXES = tuple(WRITTEN_AS)

_KEY_VALUE = (".mha", ".nrrd", ".mhd", ".nhdr")
_SAID_DEGREES = 0.01
"""Skew from which a user is told: a tenth of a millimetre over 500 mm."""


def suffix_of(path: Path) -> str:
    """The image suffix of a file name (`.nii.gz` as one), empty where it is none of `IMAGE_SUFFIXES`."""
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix) and name != suffix), "")


def stem(path: Path) -> str:
    """The file's name without its image suffix: `case.nii.gz` -> `case`."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.stem


def is_series(path: Path) -> bool:
    """Whether `path` is read as DICOM: a folder, which stands for its series, or a DICOM file of any name.

    So is the path that stands for one of several series in a folder (`dicom_files.series_address`).
    """
    return path.is_dir() or (not suffix_of(path) and (is_dicom(path) or addressed(path) is not None))


def read_geometry(path: Path) -> Geometry:
    """The grid of an image from its header alone; raises `DataError` as `read_volume` does."""
    return _read_header(Path(path))[0]


def read_channels(path: Path) -> int:
    """The number of values a voxel holds (1, 3 for RGB, the fourth size of a 4D file), from the header alone."""
    return _read_header(Path(path))[1]


def header_remarks(path: Path) -> tuple[str, ...]:
    """What the header of an image says twice and differently, or leaves open, and which of it counts.

    Raises `DataError` as `read_volume` does.
    """
    path = Path(path)
    if is_series(path):
        return ()
    geometry, suffix = read_geometry(path), suffix_of(path)
    said = nifti.remarks(geometry) if suffix in nifti.SUFFIXES else ()
    said += freesurfer.remarks(path) if suffix in freesurfer.SUFFIXES else ()
    if geometry.skew_degrees > _SAID_DEGREES:
        skew = f"its axes are {geometry.skew_degrees:.2g} degrees from right angles"
        said += (f"{skew}: the nearest orthogonal ones are taken",)
    return said


def _read_header(path: Path) -> tuple[Geometry, int]:
    """Grid and values of a voxel."""
    if is_series(path):
        return dicom.series_geometry(path), 1
    suffix = _known_suffix(path)
    try:
        if suffix in nifti.SUFFIXES:
            header = nifti.read_header(path)
            return header.geometry, header.channels
        if suffix in freesurfer.SUFFIXES:
            return freesurfer.read_header(path)
    except OSError as fault:
        raise unreadable(path, fault) from fault
    reader = _open(path)
    return _geometry(path, reader), _channels(reader)


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
    suffix = _known_suffix(path)
    if suffix in (*nifti.SUFFIXES, *freesurfer.SUFFIXES):
        read = nifti.read if suffix in nifti.SUFFIXES else freesurfer.read
        try:
            array, geometry = read(path)
        except (OSError, MemoryError) as fault:
            raise DataError(str(path), f"cannot be read ({getattr(fault, 'strerror', None) or fault})") from fault
        check_finite(path, array)
        return Volume(array, geometry)
    reader = _open(path)
    geometry = _geometry(path, reader)
    components = _channels(reader)
    bits = re.search(r"(\d+)-bit", sitk().GetPixelIDValueAsString(reader.GetPixelID()))
    check_whole(path, math.prod(geometry.shape) * components, int(bits[1]) // 8 if bits else 1)
    try:
        image = reader.Execute()
    except (RuntimeError, MemoryError) as fault:
        raise not_an_image(path, reason(fault)) from fault
    array = sitk().GetArrayFromImage(image)
    check_finite(path, array)
    if int(reader.GetNumberOfComponents()) > 1:
        array = np.moveaxis(array, -1, 0)
    return Volume(np.ascontiguousarray(array.reshape(components, *geometry.shape)), geometry, _metadata(path, image))


def write_volume(path: Path, volume: Volume) -> None:
    """Write the image in the format of the suffix, whole or not at all.

    Integers without negative values take the smallest unsigned type that holds them. 2D grids are written as 2D
    files. On the grid of a NIfTI file NIfTI is written under that file's own header. Raises `OutputError` where the
    folder cannot be written or the format cannot hold the image.
    """
    path = Path(path)
    suffix, geometry = suffix_of(path), volume.geometry
    check_format(path, geometry)
    if volume.array.ndim != 4 or volume.array.shape[1:] != geometry.shape:
        raise ValueError(f"array of shape {volume.array.shape} on a grid of {geometry.shape}")
    array = _smallest(volume.array)
    if suffix in nifti.SUFFIXES:
        with atomic_path(path) as temporary:
            nifti.write(temporary, array, geometry, packed=suffix == ".nii.gz")
    elif suffix in freesurfer.MGH:
        with atomic_path(path) as temporary:
            freesurfer.write(temporary, array, geometry)
    else:
        image = _itk_image(path, array, volume)
        with atomic_path(path, whole=lambda written: is_written(written, image)) as temporary:
            _write_by_itk(path, temporary, image)


def check_format(path: Path, geometry: Geometry | None = None) -> None:
    """Raise `OutputError` where no image, or none on this grid, can be written under the name of `path`."""
    suffix = suffix_of(path)
    if WRITTEN_AS.get(suffix) != suffix:
        written = ", ".join(key for key, value in WRITTEN_AS.items() if key == value)
        raise OutputError(str(path), "not a format that can be written", written, "choose one of these")
    check_name(path, OutputError)
    if geometry is not None and suffix == ".png" and geometry.shape[0] > 1:
        found = f"a PNG file holds one slice, and this is {geometry.shape[0]}"
        raise OutputError(str(path), found, "a format for volumes", "choose .nii.gz")


def _itk_image(path: Path, array: npt.NDArray[Any], volume: Volume) -> Any:
    """An array (C, Z, Y, X) on the grid of `volume`, with its fields where the format has a place for them."""
    geometry = volume.geometry
    array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    direction = np.asarray(geometry.direction).reshape(3, 3)
    # a slice that lies oblique in space has its place in a volume alone
    upright = np.allclose(direction[2, :2], 0, atol=1e-6) or suffix_of(path) in PICTURES
    size = geometry.dimension if upright else 3
    image = sitk().GetImageFromArray(array[0] if size == 2 else array, isVector=len(volume.array) > 1)
    image.SetSpacing(geometry.spacing_mm[::-1][:size])
    image.SetOrigin(geometry.origin_mm[:size])
    if suffix_of(path) not in PICTURES:
        image.SetDirection(direction[:size, :size].ravel().tolist())
    for key, value in volume.metadata if suffix_of(path) in _KEY_VALUE else ():
        image.SetMetaData(key, value)
    return image


def _write_by_itk(path: Path, temporary: Path, image: Any) -> None:
    """Write what is to become `path`; ITK says in the same words that a disk is full and that a format is too small."""
    try:
        sitk().WriteImage(image, str(temporary), useCompression=True)
    except RuntimeError as fault:
        said = RuntimeError(str(fault).replace(str(temporary), path.name))
        error = unwritable(path, OSError(reason(said)))
        raise OutputError(error.where, error.found, remedy=f"{error.remedy}; or choose .nii.gz") from fault


def _known_suffix(path: Path) -> str:
    """The suffix of a file that is there, is an image by its name and does not look like anything else."""
    if not path.is_file():
        raise disguised(path) or DataError(str(path), "no such file")
    suffix = suffix_of(path)
    if not suffix:
        raise DataError(str(path), "not an image format that is read", ", ".join(IMAGE_SUFFIXES))
    check_name(path)
    if (fault := disguised(path)) is not None:
        raise fault
    return suffix


def _open(path: Path) -> Any:
    """A reader that has read the header of a 2D or 3D real-valued image."""
    try:
        detached_voxels(path)  # before ITK opens what a header names
    except OSError as fault:
        raise unreadable(path, fault) from fault
    reader = sitk().ImageFileReader()
    if suffix_of(path) in (".mha", ".mhd"):  # which ITK does not know by a suffix in upper case
        reader.SetImageIO("MetaImageIO")
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except (RuntimeError, MemoryError) as fault:
        raise not_an_image(path, reason(fault)) from fault
    if reader.GetDimension() not in (2, 3, 4) or (reader.GetDimension() == 4 and reader.GetNumberOfComponents() > 1):
        raise other_dimensions(path, reader.GetSize())
    if "complex" in sitk().GetPixelIDValueAsString(reader.GetPixelID()):
        raise DataError(str(path), "complex voxels", "real numbers", "save the magnitude image")
    return reader


def _geometry(path: Path, reader: Any) -> Geometry:
    """The grid in the header of an opened reader."""
    stored = int(reader.GetDimension())
    size = min(stored, 3)
    direction = np.eye(3)
    direction[:size, :size] = np.asarray(reader.GetDirection()).reshape(stored, stored)[:size, :size]
    shape = triple((1, *map(int, reader.GetSize()[::-1]))[-3:])
    spacing = triple((1.0, *map(float, reader.GetSpacing()[::-1]))[-3:])
    if suffix_of(path) in PICTURES:  # whose resolution is that of a printer, in dots per inch
        spacing = _stated_spacing(path) or (1.0, 1.0, 1.0)
    origin = triple((*map(float, reader.GetOrigin()), 0.0)[:3])
    return usable_grid(path, shape, spacing, origin, direction, size)


def _channels(reader: Any) -> int:
    """Values of a voxel in an opened reader."""
    held = int(reader.GetNumberOfComponents())
    return held * int(reader.GetSize()[3]) if reader.GetDimension() == 4 else held


def _stated_spacing(path: Path) -> Triple | None:
    """Voxel size (Z, Y, X) of a picture, which has no place for one."""
    beside = next((file for file in _spacing_files(path) if file.is_file()), None)
    if beside is None:
        return None
    content = read_json(beside)
    spacing = content.get("spacing") if isinstance(content, dict) else None
    sizes = spacing if isinstance(spacing, list) and len(spacing) in (2, 3) else [None]
    if not all(isinstance(step, int | float) and step > 0 for step in sizes):
        raise DataError(str(beside), f'"spacing" is {spacing!r}', "three sizes in mm, [4.0, 1.0, 1.0]")
    return triple((1.0, *map(float, sizes))[-3:])


def _spacing_files(path: Path) -> list[Path]:
    """Where the voxel size of a picture may stand: nnU-Net's `<case>.json` beside it."""
    return [path.with_name(f"{name}.json") for name in (stem(path), re.sub(r"_\d{4}$", "", stem(path)))]


def files_of(path: Path) -> list[Path]:
    """An image file and those beside it that it is read with: detached voxels, the voxel size of a picture."""
    suffix = suffix_of(path)
    beside = [detached_voxels(path)]
    if suffix in freesurfer.PAIRS:
        beside = [freesurfer.voxels_beside(path)]
    elif suffix in PICTURES:
        beside = [*_spacing_files(path)]
    return [path, *(file for file in beside if file is not None and file.is_file())]


def _metadata(path: Path, image: Any) -> tuple[tuple[str, str], ...]:
    """Header fields worth keeping: key-value pairs of the user in NRRD and MetaImage."""
    keys = sorted(image.GetMetaDataKeys()) if suffix_of(path) in _KEY_VALUE else []
    pairs = ((key, image.GetMetaData(key)) for key in keys if _is_user_key(key))
    return tuple((key, value) for key, value in pairs if value and value.isprintable())


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
