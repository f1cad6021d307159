"""What is measured of the classes in a mask: size, place and extent, and how far two of them lie apart.

Whoever has a case in memory measures it, once: `survey` to compare it with the others, `planning.measured.fingerprint`
to plan from it. Axes are canonical: Z, Y, X increase towards superior, posterior, left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.geometry import Triple, triple

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassMeasures:
    """Of each class of a mask, in the order of the labels."""

    voxels: tuple[int, ...]
    slices: tuple[tuple[int, int, int], ...]
    """Slices that contain the class, counted along each axis."""
    centroids_mm: tuple[Triple | None, ...]
    """Mean index times spacing; None where the class is absent."""
    extents_mm: tuple[Triple, ...]
    """Edges of the box around the class; zeros where it is absent."""


def measure_classes(label: npt.NDArray[np.uint8], spacing_mm: Sequence[float], classes: int) -> ClassMeasures:
    """Of the class indices 1 to `classes` in `label` (Z, Y, X)."""
    voxels: list[int] = []
    slices: list[tuple[int, int, int]] = []
    centroids: list[Triple | None] = []
    extents: list[Triple] = []
    boxes: list[tuple[slice, ...] | None] = ndimage.find_objects(label, max_label=classes)
    for index, box in enumerate(boxes, 1):
        if box is None:
            voxels.append(0)
            slices.append((0, 0, 0))
            centroids.append(None)
            extents.append((0.0, 0.0, 0.0))
            continue
        inside = label[box] == index
        counts = [inside.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
        total = int(counts[0].sum())
        moments = [float(np.dot(count, np.arange(count.size))) for count in counts]
        places = [side.start + moment / total for side, moment in zip(box, moments, strict=True)]
        voxels.append(total)
        slices.append(triple(int(np.count_nonzero(count)) for count in counts))
        centroids.append(triple(place * step for place, step in zip(places, spacing_mm, strict=True)))
        extents.append(triple(count.size * step for count, step in zip(counts, spacing_mm, strict=True)))
    return ClassMeasures(tuple(voxels), tuple(slices), tuple(centroids), tuple(extents))


def class_contrasts(
    image: npt.NDArray[np.generic], label: npt.NDArray[np.uint8], classes: int
) -> tuple[tuple[float | None, ...], ...]:
    """How each class stands out in each channel: its median over the mean of the image, in the image's deviations.

    What is 0 is no part of the image. Two decimals: it tells one sequence from another, and no more.

    Args:
        image: (C, Z, Y, X).
        label: (Z, Y, X): class indices, of which 1 to `classes` are looked at.
        classes: how many there are.

    Returns:
        Of each channel a number per class; None where the class is absent, or the channel has one grey alone.
    """
    boxes: list[tuple[slice, ...] | None] = ndimage.find_objects(label, max_label=classes)
    found = []
    for channel in image:
        shown = channel[channel != 0]
        even = not shown.size or shown.min() == shown.max()
        mean, spread = (0.0, 1.0) if even else (float(shown.mean(dtype=np.float64)), float(shown.std(dtype=np.float64)))
        row: list[float | None] = []
        for index, box in enumerate(boxes, 1):
            if box is None or even:
                row.append(None)
                continue
            row.append(round((float(np.median(channel[box][label[box] == index])) - mean) / spread, 2))
        found.append(tuple(row))
    return tuple(found)


def places_along(
    centroids_mm: Iterable[Sequence[Triple | None]], extents_mm: Iterable[Sequence[Triple]], axis: int
) -> tuple[Floats, Floats]:
    """Centroids and extents of the classes along an axis in mm, (cases, classes); absent ones have centroid NaN."""
    places = [[np.nan if place is None else place[axis] for place in case] for case in centroids_mm]
    extents = [[extent[axis] for extent in case] for case in extents_mm]
    return np.asarray(places, dtype=np.float64), np.asarray(extents, dtype=np.float64)


def pair_distances(places: Floats, extents: Floats, first: int, second: int) -> tuple[Floats, Floats]:
    """Signed centroid distance (second minus first) and mean extent in mm, per case that has both classes."""
    distances = places[:, second] - places[:, first]
    both = ~np.isnan(distances)
    return distances[both], ((extents[:, first] + extents[:, second]) / 2)[both]
