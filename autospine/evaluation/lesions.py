"""Lesion by lesion: which of a reference were found, which were missed, and what was found where nothing is.

A lesion is a connected component of a class in the reference; voxels that share a corner are connected.

    found    predicted voxels of the class cover at least a tenth of it
    false    a predicted component that touches no reference voxel of the class

Dice says little of small lesions: missing ten of 4 mm beside one of 40 mm costs less than a hundredth. The rule of a
tenth is ours: a voxel of a large neighbour that runs over is no find.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, pi, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

COVERED = 0.1
"""Share of a lesion's voxels that a prediction has to cover to have found it."""
SIZES_MM = (5.0, 10.0)
"""Diameters that part small, medium and large lesions: below 10 mm a lesion is not measurable by RECIST 1.1 (Eisenhauer
et al. 2009), below 5 mm it is a voxel or two across thick slices."""


@dataclass(frozen=True)
class Lesion:
    """A lesion of the reference."""

    diameter_mm: float
    """Of a sphere of the same volume."""
    covered: float
    """Share of its voxels that were predicted, 0 to 1."""

    @property
    def found(self) -> bool:
        """Whether the prediction has found it."""
        return self.covered >= COVERED


@dataclass(frozen=True)
class LesionCounts:
    """The lesions of one class, in one case or in several."""

    lesions: tuple[Lesion, ...]
    """Of the reference."""
    false: int
    """Predicted components that touch none of them."""

    def to_json(self) -> dict[str, Any]:
        """Found, missed and false, sensitivity and precision (None where nothing is to be found), and by diameter."""
        found = sum(lesion.found for lesion in self.lesions)
        edges = (0.0, *SIZES_MM, inf)
        sizes = {}
        for low, high in zip(edges, edges[1:], strict=False):
            within = [lesion for lesion in self.lesions if low <= lesion.diameter_mm < high]
            name = (
                f"under {high:g} mm"
                if low == 0
                else f"{low:g} mm and more"
                if high == inf
                else f"{low:g} to {high:g} mm"
            )
            seen = sum(lesion.found for lesion in within)
            sizes[name] = {"found": seen, "missed": len(within) - seen}
        return {
            "found": found,
            "missed": len(self.lesions) - found,
            "false": self.false,
            "sensitivity": found / len(self.lesions) if self.lesions else None,
            "precision": found / (found + self.false) if found + self.false else None,
            "by_diameter": sizes,
        }


def count_lesions(
    prediction: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    label: int | tuple[int, ...],
    spacing_mm: tuple[float, ...],
) -> LesionCounts:
    """The lesions of class (or region) `label`.

    Args:
        prediction: labels (Z, Y, X).
        reference: labels (Z, Y, X), the same shape.
        label: the value that marks the class in both, or those of the classes in a region.
        spacing_mm: voxel size per axis (Z, Y, X).
    """
    predicted, expected = np.isin(prediction, label), np.isin(reference, label)
    corners = np.ones((3,) * reference.ndim, bool)
    components, count = ndimage.label(expected, corners)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    covered = np.bincount(components[predicted], minlength=count + 1)[1:]
    diameters = (6 / pi * sizes * prod(spacing_mm)) ** (1 / 3)
    lesions = tuple(
        Lesion(float(wide), float(hit / size)) for wide, hit, size in zip(diameters, covered, sizes, strict=True)
    )
    own, found = ndimage.label(predicted, corners)
    touching = np.unique(own[expected & predicted])
    return LesionCounts(lesions, int(found - len(touching)))


def pooled(counts: Sequence[LesionCounts]) -> LesionCounts:
    """The lesions of several cases together."""
    lesions = tuple(lesion for one in counts for lesion in one.lesions)
    return LesionCounts(lesions, sum(one.false for one in counts))
