"""Images as arrays with their place in space, read and written by SimpleITK.

This is the only module that speaks SimpleITK's x, y, z order. Arrays are (C, Z, Y, X); the axes Z, Y, X of an array
as it lies in the file may point anywhere. The canonical orientation, reached by flips and permutations alone, makes
them increase toward Superior, Posterior and Left, and `restore` brings a result back to the file's own grid:

    file array (X toward Right, Y toward Posterior, Z toward Superior)
        -> Orientation(permutation=(0, 1, 2), flips=(False, False, True)) -> canonical
"""

from __future__ import annotations

import gzip
import itertools
import math
import re
import struct
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.files import atomic_path
from autospine.data.integrity import check_whole, non_finite
from autospine.errors import DataError, OutputError

IMAGE_SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".tif", ".tiff")

_NIFTI = (".nii.gz", ".nii")
_KEY_VALUE = (".mha", ".nrrd")
# Of a NIfTI header only what says nothing about grid, type or scaling: those belong to the image, not to a result.
_NIFTI_KEYS = ("ITK_FileNotes", "aux_file", "qform_code", "sform_code")


@cache
def _sitk() -> Any:
    """SimpleITK, loaded where a file is read or written: training on prepared cases does without it."""
    import SimpleITK

    library: Any = SimpleITK  # its wrappers bear no types
    # Its warnings go to the terminal past every logger; what matters in them is raised as an error here.
    library.ProcessObject.SetGlobalWarningDisplay(False)
    return library


@dataclass(frozen=True)
class Geometry:
    """The grid of an image: array sizes, voxel size and place in LPS millimetres."""

    shape: tuple[int, int, int]
    """Voxels along the array axes (Z, Y, X)."""
    spacing_mm: tuple[float, float, float]
    """Voxel size along the array axes (Z, Y, X); Z is 1 in 2D files."""
    origin_mm: tuple[float, float, float]
    """Centre of voxel (0, 0, 0) as (x, y, z), x toward Left, y toward Posterior, z toward Superior."""
    direction: tuple[float, ...]
    """3 x 3 row-major; its columns are the directions of the array axes X, Y, Z (in this order)."""
    dimension: int = 3
    """Dimension of the file itself, 2 or 3."""

    def axes(self) -> npt.NDArray[np.float64]:
        """Unit directions as columns in array order Z, Y, X; rows are x, y, z. Shape (3, 3)."""
        columns: npt.NDArray[np.float64] = np.asarray(self.direction, dtype=np.float64).reshape(3, 3)
        return columns[:, ::-1]

    def corners_mm(self) -> npt.NDArray[np.float64]:
        """Outer corners of the grid in LPS millimetres, shape (8, 3)."""
        ends = itertools.product(*((-0.5, size - 0.5) for size in self.shape))
        index = np.array(list(ends)) * np.asarray(self.spacing_mm)
        corners: npt.NDArray[np.float64] = np.asarray(self.origin_mm) + index @ self.axes().T
        return corners

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel (area in 2D files)."""
        return math.prod(self.spacing_mm)


@dataclass(frozen=True)
class Volume:
    """An image and its grid."""

    array: npt.NDArray[Any]
    """(C, Z, Y, X); C is 1 for scalar files, 3 for RGB."""
    geometry: Geometry
    metadata: tuple[tuple[str, str], ...] = ()
    """Header fields that go with the image into what is written beside it."""


@dataclass(frozen=True)
class Orientation:
    """How file array axes become canonical axes: first permuted, then flipped."""

    permutation: tuple[int, int, int] = (0, 1, 2)
    """File axis that stands at each canonical axis."""
    flips: tuple[bool, bool, bool] = (False, False, False)
    """Canonical axes that are reversed."""


def suffix_of(path: Path) -> str:
    """The image suffix of a file name (`.nii.gz` as one), empty where it is none of `IMAGE_SUFFIXES`."""
    name = path.name.lower()
    return next((suffix for suffix in IMAGE_SUFFIXES if name.endswith(suffix) and name != suffix), "")


def stem(path: Path) -> str:
    """The file's name without its image suffix: `case.nii.gz` -> `case`."""
    suffix = suffix_of(path)
    return path.name[: -len(suffix)] if suffix else path.stem


def read_geometry(path: Path) -> Geometry:
    """The grid of an image from its header alone; raises `DataError` as `read_volume` does."""
    return _geometry(path, _open(path))


def read_channels(path: Path) -> int:
    """The number of values a voxel holds (1, or 3 for RGB), from the header alone."""
    return int(_open(path).GetNumberOfComponents())


def read_volume(path: Path) -> Volume:
    """The image as it lies in the file, (C, Z, Y, X), any of `IMAGE_SUFFIXES`.

    Raises `DataError` naming the file where it is missing, not an image, damaged or cut off, of more than three
    dimensions, complex, with NaN or infinite voxels, or without a usable grid (spacing, origin or direction not
    finite, axes not at right angles).
    """
    path = Path(path)
    reader = _open(path)
    geometry = _geometry(path, reader)
    components = int(reader.GetNumberOfComponents())
    bits = re.search(r"(\d+)-bit", _sitk().GetPixelIDValueAsString(reader.GetPixelID()))
    check_whole(path, math.prod(geometry.shape) * components, int(bits[1]) // 8 if bits else 1)
    try:
        image = reader.Execute()
    except (RuntimeError, MemoryError) as fault:
        raise _unreadable(path, fault) from fault
    array: npt.NDArray[Any] = _sitk().GetArrayFromImage(image)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise non_finite(path, int(array.size - np.isfinite(array).sum()))
    if components > 1:
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
    geometry = volume.geometry
    if volume.array.ndim != 4 or volume.array.shape[1:] != geometry.shape:
        raise ValueError(f"array of shape {volume.array.shape} on a grid of {geometry.shape}")
    array = _smallest(volume.array)
    array = array[0] if len(array) == 1 else np.moveaxis(array, 0, -1)
    size = geometry.dimension
    image = _sitk().GetImageFromArray(array[0] if size == 2 else array, isVector=len(volume.array) > 1)
    image.SetSpacing(geometry.spacing_mm[::-1][:size])
    image.SetOrigin(geometry.origin_mm[:size])
    image.SetDirection(np.asarray(geometry.direction).reshape(3, 3)[:size, :size].ravel().tolist())
    metadata = dict(volume.metadata)
    for key, value in metadata.items():
        if (suffix in _NIFTI) == (key in _NIFTI_KEYS) and suffix in _NIFTI + _KEY_VALUE:
            image.SetMetaData(key, value)
    with atomic_path(path) as temporary:
        try:
            _sitk().WriteImage(image, str(temporary), useCompression=suffix != ".nii")
        except RuntimeError as fault:
            raise OutputError(
                str(path), f"cannot be written ({_reason(fault)})", remedy="choose another folder or .nii.gz"
            ) from fault
        if suffix in _NIFTI:
            _set_form_codes(temporary, metadata)


def canonical_orientation(geometry: Geometry) -> Orientation:
    """The flips and permutation that come closest to axes toward Superior, Posterior, Left; none for 2D files."""
    if geometry.dimension == 2:
        return Orientation()
    toward = geometry.axes()[::-1]  # rows S, P, L; columns file axes Z, Y, X
    # Rounded so that an axis at 45 degrees is decided by the order of the permutations, not by the last bit.
    weight = np.round(np.abs(toward), 4)
    permutations = itertools.permutations(range(3))
    best = max(permutations, key=lambda axes: round(sum(float(weight[i, axes[i]]) for i in range(3)), 4))
    flips = tuple(bool(toward[i, best[i]] < 0) for i in range(3))
    return Orientation((best[0], best[1], best[2]), (flips[0], flips[1], flips[2]))


def orient(array: npt.NDArray[Any], orientation: Orientation) -> npt.NDArray[Any]:
    """The array (..., Z, Y, X) of a file in canonical axes, contiguous."""
    lead = array.ndim - 3
    axes = (*range(lead), *(lead + axis for axis in orientation.permutation))
    flipped = tuple(lead + axis for axis in range(3) if orientation.flips[axis])
    return np.ascontiguousarray(np.flip(array.transpose(axes), flipped))


def restore(array: npt.NDArray[Any], orientation: Orientation) -> npt.NDArray[Any]:
    """The canonical array (..., Z, Y, X) in the file's own axes, contiguous: the inverse of `orient`."""
    lead = array.ndim - 3
    inverse = (orientation.permutation.index(axis) for axis in range(3))
    flipped = tuple(lead + axis for axis in range(3) if orientation.flips[axis])
    return np.ascontiguousarray(np.flip(array, flipped).transpose(*range(lead), *(lead + axis for axis in inverse)))


def to_canonical(volume: Volume, orientation: Orientation | None = None) -> Volume:
    """The volume in canonical axes, or in those of `orientation`, with its geometry; no voxel value changes."""
    geometry = volume.geometry
    orientation = orientation or canonical_orientation(geometry)
    return replace(volume, array=orient(volume.array, orientation), geometry=orient_geometry(geometry, orientation))


def orient_geometry(geometry: Geometry, orientation: Orientation) -> Geometry:
    """The same grid in space with its axes permuted and flipped."""
    axes = geometry.axes()[:, list(orientation.permutation)]
    shape = tuple(geometry.shape[axis] for axis in orientation.permutation)
    spacing = tuple(geometry.spacing_mm[axis] for axis in orientation.permutation)
    origin = np.asarray(geometry.origin_mm, dtype=np.float64)
    for axis in range(3):
        if orientation.flips[axis]:
            origin = origin + axes[:, axis] * spacing[axis] * (shape[axis] - 1)
    signs = np.where(orientation.flips, -1.0, 1.0)
    direction = (axes * signs)[:, ::-1] + 0.0  # + 0.0 turns -0.0 into 0.0
    return replace(
        geometry,
        shape=(shape[0], shape[1], shape[2]),
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        origin_mm=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=tuple(direction.ravel().tolist()),
    )


def same_grid(a: Geometry, b: Geometry, tolerance_mm: float | None = None) -> str | None:
    """None where two grids coincide, else what differs, in voxels and millimetres.

    Corners may lie `tolerance_mm` apart, by default a tenth of the smallest voxel edge: NIfTI keeps the affine in
    single precision (about 1e-4 mm over a body), while a shift that moves a label is half a voxel.
    """
    if a.shape != b.shape:
        return f"{_times(a.shape)} voxels against {_times(b.shape)} (Z x Y x X)"
    apart = float(np.linalg.norm(a.corners_mm() - b.corners_mm(), axis=1).max())
    limit = 0.1 * min(a.spacing_mm + b.spacing_mm) if tolerance_mm is None else tolerance_mm
    if apart <= limit:
        return None
    return (
        f"corners lie {apart:.3g} mm apart (spacing {_times(a.spacing_mm)} against {_times(b.spacing_mm)} mm, "
        f"origin {_point(a.origin_mm)} against {_point(b.origin_mm)})"
    )


def _open(path: Path) -> Any:
    """A reader that has read the header of a 2D or 3D real-valued image."""
    path = Path(path)
    if not path.is_file():
        raise DataError(str(path), "no such file")
    if not suffix_of(path):
        raise DataError(str(path), "not an image format that is read", ", ".join(IMAGE_SUFFIXES))
    reader = _sitk().ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except (RuntimeError, MemoryError) as fault:
        raise _unreadable(path, fault) from fault
    if reader.GetDimension() not in (2, 3):
        raise DataError(
            str(path),
            f"an image of {reader.GetDimension()} dimensions ({_times(reader.GetSize())})",
            "2 or 3 dimensions",
            "save each time point or channel as a file of its own (case_0000, case_0001, ...)",
        )
    if "complex" in _sitk().GetPixelIDValueAsString(reader.GetPixelID()):
        raise DataError(str(path), "complex voxels", "real numbers", "save the magnitude image")
    return reader


def _geometry(path: Path, reader: Any) -> Geometry:
    """The grid in the header of an opened reader."""
    size = int(reader.GetDimension())
    direction = np.eye(3)
    direction[:size, :size] = np.asarray(reader.GetDirection()).reshape(size, size)
    shape = (1, *reader.GetSize()[::-1])[-3:]
    spacing = (1.0, *reader.GetSpacing()[::-1])[-3:]
    origin = (*reader.GetOrigin(), 0.0)[:3]
    numbers = [*spacing, *origin, *direction.ravel()]
    orthonormal = np.allclose(direction.T @ direction, np.eye(3), atol=1e-2)
    if not np.all(np.isfinite(numbers)) or min(spacing) <= 0 or not orthonormal or min(shape) < 1:
        raise DataError(
            str(path),
            f"no usable grid: {_times(shape)} voxels of {_times(spacing)} mm at {_point(origin)}",
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
        str(path), f"cannot be read as an image ({_reason(fault)})", "", "copy or export the file again, or convert it"
    )


def _reason(fault: Exception) -> str:
    """What ITK says, without the places in its source."""
    text = str(fault).split("ERROR:")[-1]
    return " ".join(re.sub(r"\(0x[0-9a-f]+\)", "", text).split())[:200]


def _times(values: tuple[float, ...]) -> str:
    """`(4.0, 1, 1)` -> `4 x 1 x 1`."""
    return " x ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)


def _point(values: tuple[float, ...]) -> str:
    """Coordinates in brackets, to a tenth of a millimetre."""
    return "(" + ", ".join(f"{value:.1f}" for value in values) + ")"
