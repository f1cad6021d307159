"""DICOM-SEG objects as masks on the grid of their image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autospine.data.formats.dicom_files import damaged, open_header
from autospine.data.geometry import Geometry
from autospine.data.wording import said_first
from autospine.errors import DataError


def is_segmentation(path: Path) -> bool:
    """Whether a DICOM file is a segmentation by its header; a damaged one is none."""
    try:
        return bool(open_header(path, ["Modality"]).get("Modality") == "SEG")
    except Exception:  # a damaged file fails anywhere in the parser
        return False


def segment_names(path: Path) -> tuple[tuple[str, int], ...]:
    """(label, number) of each segment of a DICOM-SEG object.

    Raises:
        DataError: it cannot be read, or has no segments.
    """
    try:
        header = open_header(path, ["SegmentSequence"])
        names = tuple((str(one.SegmentLabel), int(one.SegmentNumber)) for one in header.get("SegmentSequence") or ())
    except Exception as fault:
        raise damaged(path, fault) from fault
    if not 1 <= len(names) <= 255:
        raise DataError(str(path), f"{len(names)} segments", "a segmentation with 1 to 255 segments")
    return names


def read_segmentation(path: Path, grid: Geometry) -> npt.NDArray[np.uint8]:
    """A DICOM-SEG object as a mask on `grid`: segment numbers (Z, Y, X), 0 where there is none.

    Raises:
        DataError: not a segmentation, on another grid, or with segments that overlap.
    """
    import highdicom

    segment_names(path)
    try:
        segmentation = highdicom.seg.segread(path)
    except Exception as fault:
        raise damaged(path, fault) from fault
    try:
        held = segmentation.get_volume(combine_segments=True)
    except Exception as fault:
        found = f"segments that cannot be one mask ({said_first(fault)})"
        raise DataError(str(path), found, "segments that do not overlap, on a regular grid") from fault
    affine = np.eye(4)
    affine[:3, :3] = grid.axes() * np.asarray(grid.spacing_mm)
    affine[:3, 3] = grid.origin_mm
    wanted = highdicom.VolumeGeometry(affine, grid.shape, coordinate_system="PATIENT")
    try:
        placed = held.match_geometry(wanted, tol=1e-3)
    except Exception as fault:
        found = f"not on the grid of its image ({said_first(fault)})"
        raise DataError(str(path), found, "the same voxels in space", "segment that series") from fault
    outside = int(np.count_nonzero(held.array)) - int(np.count_nonzero(placed.array))
    if outside:
        raise DataError(str(path), f"{outside} voxels outside the image", "a segmentation of that image")
    return np.ascontiguousarray(placed.array.astype(np.uint8))
