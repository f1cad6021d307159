"""How many cases can be prepared at once: as many as there are cores, and as fit into free memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path

from autospine.data.geometry import Geometry, orient_geometry, resampled_shape, triple
from autospine.errors import DataError
from autospine.machine.cores import available_cores
from autospine.machine.memory import free_bytes, workers_that_fit
from autospine.planning.document.configuration import Configuration

_PROCESS_BYTES = 250_000_000
"""An interpreter with numpy, scipy and the image reader loaded."""
_SHARE = 0.8
"""Of the free memory that is planned with; the rest is for what else the machine does."""


def bounded_workers(cases: Iterable[Sequence[Path]], configuration: Configuration) -> int:
    """Worker processes for `cases`, each given by its channel files; only headers are read. At least 1."""
    cases = [images for images in cases if images]
    if len(cases) < 2:
        return 1
    largest = max(case_bytes(images, configuration) for images in cases)
    wanted = min(available_cores(), len(cases))
    return max(1, workers_that_fit(wanted, free_bytes() * _SHARE, largest + _PROCESS_BYTES))


def case_bytes(images: Sequence[Path], configuration: Configuration) -> int:
    """Bytes that preparing a case takes at its peak, by the header of its first channel; 0 where it is unreadable."""
    from autospine.data.volume import read_geometry  # reads images; a process that only opens a store does not

    try:
        geometry = read_geometry(images[0])
    except DataError:
        return 0  # the worker that reads it says what is wrong
    native, channels = prod(geometry.shape), len(configuration.normalisation)
    prepared = prepared_voxels(geometry, configuration)
    # float32 as read, cropped and normalised; two float64 intermediates of one channel; the float32 result
    return int(12 * channels * native + 16 * max(native, prepared) + (4 * channels + 4) * prepared)


def preparing_bytes(configuration: Configuration, native: int, prepared: int) -> int:
    """Bytes that preparing an unlabelled case of so many voxels, on disk and prepared, takes at its peak.

    An image that keeps its voxels is taken for one that is not resampled.
    """
    channels = len(configuration.normalisation)
    # float32 as read and normalised, and a mask of voxels
    held = (8 * channels + 1) * native
    if prepared == native:
        return held + 8 * native  # one channel less its mean, in float64
    # two float64 intermediates of one channel; the float32 result
    return held + 16 * max(native, prepared) + 4 * channels * prepared


def prepared_shape(geometry: Geometry, configuration: Configuration) -> tuple[int, int, int]:
    """Voxels, in planned axis order, of an image on this grid before it is cropped to what is not black."""
    lying, order = orient_geometry(geometry), configuration.axis_order
    planned_mm = [lying.spacing_mm[axis] for axis in order]
    target_mm = (*planned_mm[: 3 - len(configuration.spacing_mm)], *configuration.spacing_mm)
    return triple(resampled_shape([lying.shape[axis] for axis in order], planned_mm, target_mm))


def prepared_voxels(geometry: Geometry, configuration: Configuration) -> float:
    """Voxels that an image on this grid has at the planned spacing, before it is cropped to what is not black."""
    # a 2D configuration keeps the slices as they are
    lying = orient_geometry(geometry)
    kept_mm = lying.spacing_mm[configuration.axis_order[0]] if len(configuration.spacing_mm) == 2 else 1.0
    return prod(geometry.shape) * prod(geometry.spacing_mm) / (prod(configuration.spacing_mm) * kept_mm)
