"""What a model has learnt from, in a few numbers: for who uses it on images that it has never seen."""

from __future__ import annotations

from dataclasses import dataclass

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class TrainedOn:
    """The cases of a training; what is given per axis is canonical (Z, Y, X)."""

    cases: int
    spacing_mm: tuple[Triple, Triple, Triple]
    """Smallest, median and largest."""
    shape: tuple[Triple, Triple, Triple]
    """Voxels: smallest, median and largest."""
    slices: str
    """How most of them are sliced: sagittal, coronal, axial."""
    descriptions: tuple[str, ...] = ()
    """Of DICOM series, as their scanner called them."""
