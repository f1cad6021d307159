"""Arrays that a caller has, as volumes; and what is made of them back in the caller's own axes.

with `affine`          axes as nibabel gives them, (X, Y, Z): turned round, and back
with `spacing_mm`      axes (Z, Y, X) that run to superior, posterior and left; two spacings: one slice (Y, X)
one axis more          channels, which come first
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.data.formats.affine import from_affine
from autospine.data.geometry import Geometry, Volume, triple
from autospine.errors import DataError

_ONES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
"""Directions of X, Y and Z that run to left, posterior and superior."""


@dataclass(frozen=True)
class Given:
    """How the axes of an array that was given lie to those of its volume."""

    turned: bool = False
    """Whether they run (X, Y, Z)."""
    axes: int = 3
    """In space: of a slice 2."""

    def channels_of(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(C, Z, Y, X) of an array as it was given, with channels or without; a view."""
        array = image if image.ndim > self.axes else image[None]
        if self.turned:
            array = array.transpose(0, *range(self.axes, 0, -1))
        return array if self.axes == 3 else array[:, None]

    def back(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(..., Z, Y, X) in the axes that were given."""
        array = array if self.axes == 3 else array[..., 0, :, :]
        lead = array.ndim - self.axes
        return array.transpose(*range(lead), *range(array.ndim - 1, lead - 1, -1)) if self.turned else array


AS_FILES = Given()


def as_volume(
    image: Volume | npt.NDArray[Any],
    spacing_mm: Sequence[float] | None,
    affine: npt.NDArray[np.float64] | Sequence[Sequence[float]] | None,
    name: str,
) -> tuple[Volume, Given]:
    """The volume of an image, and how the axes that were given lie to its own.

    Raises:
        DataError: an array without a grid or with two, one whose axes or numbers are none of an image's, or a grid that
            is none (see `from_affine`).
    """
    if isinstance(image, Volume):
        if spacing_mm is not None or affine is not None:
            raise DataError(name, "a Volume, which has a grid, and spacing_mm or affine as well", "one grid")
        if image.array.shape[1:] != image.geometry.shape or 0 in image.array.shape:
            found = f"a Volume of shape {image.array.shape} on a grid of {image.geometry.shape}"
            raise DataError(name, found, "(channels, *grid)")
        _check_numbers(image.array, name)
        return image, AS_FILES
    array = np.asarray(image)
    if (spacing_mm is None) == (affine is None):
        found = "an array with both spacing_mm and affine" if affine is not None else "an array without a grid"
        remedy = "predict(array, spacing_mm=(z, y, x)), or predict(image.get_fdata(), affine=image.affine) with nibabel"
        raise DataError(name, found, "one of spacing_mm and affine", remedy)
    if array.ndim < 2:
        raise DataError(name, f"an array of shape {array.shape}", "two or three axes in space")
    _check_numbers(array, name)
    given = Given(True) if spacing_mm is None else Given(axes=len(spacing_mm))
    if given.axes not in (2, 3) or array.ndim - given.axes not in (0, 1) or 0 in array.shape:
        expected = "two or three axes in space, as many as spacing_mm has; with channels, these come first"
        raise DataError(name, f"an array of shape {array.shape}", expected)
    channels = given.channels_of(array)
    if spacing_mm is None:
        matrix = np.asarray(affine, np.float64)
        if matrix.shape != (4, 4):
            raise DataError(name, f"an affine of shape {matrix.shape}", "(4, 4)")
        sizes = np.linalg.norm(matrix[:3, :3], axis=0)
        return Volume(channels, from_affine(Path(name), matrix, channels.shape[:0:-1], "affine", sizes)), given
    spacing = tuple(float(value) for value in spacing_mm)
    if not all(np.isfinite(value) and value > 0 for value in spacing):
        raise DataError(name, f"spacing_mm {spacing}", "finite numbers above 0")
    shape, whole = triple(channels.shape[1:]), triple((1.0, *spacing)[-3:])
    return Volume(channels, Geometry(shape, whole, (0.0, 0.0, 0.0), _ONES, given.axes)), given


def _check_numbers(array: npt.NDArray[Any], name: str) -> None:
    """Raise `DataError` where an array (two axes or more) holds anything but finite numbers, as float32 has them."""
    if array.dtype.kind not in "biuf":
        raise DataError(name, f"an array of {array.dtype}", "real numbers")
    if array.dtype.kind == "f" and not all(map(_is_finite, (array[at] for at in np.ndindex(array.shape[:-2])))):
        remedy = "set them to 0, or export the image again"
        raise DataError(name, "numbers that are not finite in float32", "finite numbers", remedy)


def _is_finite(plane: npt.NDArray[Any]) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(plane.astype(np.float32, copy=False)).all())
