"""Lesion by lesion: which of a reference were found, which were missed, and what was found where nothing is.

A lesion is a connected component of a class in the reference; voxels that share a corner are connected.

    found    predicted voxels of the class cover at least a tenth of it
    true     a predicted component that touches a lesion which was found
    false    any other predicted component, unless it touches voxels that are not annotated
    Dice     of a lesion with all predicted components that touch it

Dice of a class says little of small lesions: missing ten of 4 mm beside one of 40 mm costs less than a hundredth. The
rule of a tenth is ours: a voxel of a large neighbour that runs over is no find. The lesion-wise Dice is that of BraTS
2023 (Moawad et al. 2023, arXiv 2306.00838) without its dilation and its limits of size: the sum of the lesions' over
their number and that of the false components.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, pi, prod
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.evaluation.label_pair import LabelPair, Value

COVERED = 0.1
"""Share of a lesion's voxels that a prediction has to cover to have found it."""
SIZES_MM = (5.0, 10.0)
"""Diameters that part small, medium and large lesions. 10 mm is borrowed from RECIST 1.1 (Eisenhauer et al. 2009),
where it is the longest diameter in a slice; below 5 mm a lesion is a voxel or two across thick slices."""


@dataclass(frozen=True)
class Lesion:
    """A lesion of the reference."""

    diameter_mm: float
    """Of a sphere of the same volume."""
    covered: float
    """Share of its voxels that were predicted, 0 to 1."""
    dice: float
    """With all predicted components that touch it, 0 to 1."""

    @property
    def found(self) -> bool:
        """Whether the prediction has found it."""
        return self.covered >= COVERED


@dataclass(frozen=True)
class LesionCounts:
    """The lesions of one class, in one case or in several."""

    lesions: tuple[Lesion, ...]
    """Of the reference."""
    true: int
    """Predicted components that touch a lesion which was found."""
    false: int
    """Other predicted components, where it is known that nothing is there."""

    @property
    def dice(self) -> float:
        """Lesion-wise Dice: the mean of the lesions', with 0 for each false component; NaN where there are neither."""
        count = len(self.lesions) + self.false
        return math.fsum(lesion.dice for lesion in self.lesions) / count if count else math.nan

    def to_json(self) -> dict[str, Any]:
        """Found, missed, true and false, sensitivity, precision and Dice (None where there is nothing), by diameter."""
        small, large = SIZES_MM
        sizes = {
            f"under {small:g} mm": (0.0, small),
            f"{small:g} to {large:g} mm": (small, large),
            f"{large:g} mm and more": (large, inf),
        }
        counts = _found_and_missed(self.lesions)
        return {
            **counts,
            "true": self.true,
            "false": self.false,
            "sensitivity": counts["found"] / len(self.lesions) if self.lesions else None,
            "precision": self.true / (self.true + self.false) if self.true + self.false else None,
            "dice": None if math.isnan(self.dice) else self.dice,
            "by_diameter": {
                name: _found_and_missed([lesion for lesion in self.lesions if low <= lesion.diameter_mm < high])
                for name, (low, high) in sizes.items()
            },
        }


def _found_and_missed(lesions: Sequence[Lesion]) -> dict[str, int]:
    found = sum(lesion.found for lesion in lesions)
    return {"found": found, "missed": len(lesions) - found}


def count_lesions(
    prediction: npt.NDArray[Any],
    reference: npt.NDArray[Any],
    label: Value,
    spacing_mm: tuple[float, ...],
    ignored: int | None = None,
) -> LesionCounts:
    """The lesions of class (or region) `label`.

    Args:
        prediction: labels (Z, Y, X).
        reference: labels (Z, Y, X), the same shape.
        label: the value that marks the class in both, or those of the classes in a region.
        spacing_mm: voxel size per axis (Z, Y, X).
        ignored: value in the reference of voxels that are not annotated.
    """
    return lesions_of(LabelPair(prediction, reference, ignored), label, spacing_mm)


def lesions_of(pair: LabelPair, label: Value, spacing_mm: tuple[float, ...]) -> LesionCounts:
    """As `count_lesions`, of label maps whose classes have been found."""
    masks = pair.masks(label)
    if not masks.expected.size:
        return LesionCounts((), 0, 0)
    corners = np.ones((3,) * masks.expected.ndim, bool)
    components, count = ndimage.label(masks.expected, corners)
    # components as they were predicted: what is not annotated may not cut one in two
    own, predictions = ndimage.label(masks.predicted, corners)
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    covered = np.bincount(components[masks.predicted], minlength=count + 1)[1:]
    diameters = (6 / pi * sizes * prod(spacing_mm)) ** (1 / 3)
    # of a component that reaches into what is not annotated, the annotated part counts
    own_sizes = np.bincount(own[masks.judged], minlength=predictions + 1)
    touching = np.zeros(count, np.int64)
    shared = masks.predicted & masks.expected
    for lesion, component in set(zip(components[shared].tolist(), own[shared].tolist(), strict=True)):
        touching[lesion - 1] += own_sizes[component]
    dices = 2 * covered / (sizes + touching)
    lesions = tuple(
        Lesion(float(wide), float(hit / size), float(dice))
        for wide, hit, size, dice in zip(diameters, covered, sizes, dices, strict=True)
    )
    hit = np.array([False, *(lesion.found for lesion in lesions)])[components]
    true = set(np.unique(own[masks.predicted & hit]).tolist())
    unknown = set() if masks.unknown is None else set(np.unique(own[masks.predicted & masks.unknown]).tolist())
    return LesionCounts(lesions, len(true), predictions - len(true | unknown))


def pooled(counts: Sequence[LesionCounts]) -> LesionCounts:
    """The lesions of several cases together."""
    lesions = tuple(lesion for one in counts for lesion in one.lesions)
    return LesionCounts(lesions, sum(one.true for one in counts), sum(one.false for one in counts))
