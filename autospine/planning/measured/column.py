"""Labels that are all levels of one column, such as vertebrae, and what the images show beyond its ends.

Levels are three labels or more that follow each other along an axis without a gap, at about even distances, each of
them about as long as it is apart from the next: vertebrae, or discs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from autospine.planning.measured.fingerprint import CaseFingerprint
from autospine.planning.measured.order_of_labels import AGREEMENT

LEAST_LEVELS = 3
"""Classes of a chain of levels: of two that lie apart nobody knows whether a third could follow."""
EVEN_STEPS = 1.5
"""Largest over smallest distance of neighbouring levels in a case."""
SINGLE = 1.5
"""Extent of a level over the distance to its neighbours: longer ones overlap, or hold several pieces."""
BEYOND = 2.0
"""Steps from level to level that a view shows past the centre of the last one, from where levels can be counted: lumbar
views with the sacrum show 2.8, views that end with L5 show 1.2."""


@dataclass(frozen=True)
class CaseColumn:
    """The levels of a case, two or more."""

    places: tuple[float | None, ...]
    """Centroid of each class of the chain along its axis, mm; None where it is absent."""
    extents: tuple[float, ...]
    """Extents of those that are there, mm."""

    @property
    def steps(self) -> list[float]:
        """Distances of neighbours on the chain that are both there."""
        return [there - here for here, there in pairwise(self.places) if here is not None and there is not None]

    @property
    def is_even(self) -> bool:
        """Whether the levels follow each other evenly, none missing, each as long as it is far from the next."""
        steps = self.steps
        if len(steps) != len(self.extents) - 1 or min(steps) <= 0:
            return False
        return max(steps) <= EVEN_STEPS * min(steps) and median(self.extents) <= SINGLE * median(steps)


@dataclass(frozen=True)
class Column:
    """All labels as levels of one column."""

    axis: int
    """Canonical axis along which they follow each other."""
    chain: tuple[int, ...]
    """Class indices, from 0, in increasing order."""
    cases: tuple[CaseColumn | None, ...]
    """Of each case in the order of the fingerprint; None where it shows fewer than two levels."""


@dataclass(frozen=True)
class View:
    """What the images show beside a column of levels, at either end."""

    countable: bool
    """Whether they show what lies beyond its end, such as the sacrum, so that its levels can be counted from there."""
    reason: str
    """Why, with the counts."""


def case_column(case: CaseFingerprint, chain: Sequence[int], axis: int) -> CaseColumn | None:
    """The levels of a case along the canonical `axis`; None where it has fewer than two."""
    centroids = [case.class_centroids_mm[index] for index in chain]
    there = [index for index, centroid in zip(chain, centroids, strict=True) if centroid is not None]
    places = tuple(None if centroid is None else centroid[axis] for centroid in centroids)
    extents = tuple(case.class_extents_mm[index][axis] for index in there)
    return CaseColumn(places, extents) if len(extents) > 1 else None


def find_column(cases: Sequence[CaseFingerprint], chains: Sequence[Sequence[int]], classes: int) -> Column | None:
    """The column of largest steps that all classes make, if any; `chains` are the longest along each axis."""
    found = []
    for axis, chain in enumerate(chains):
        if len(chain) == classes >= LEAST_LEVELS:
            column = Column(axis, tuple(chain), tuple(case_column(case, chain, axis) for case in cases))
            known = [one for one in column.cases if one is not None]
            if sum(one.is_even for one in known) >= AGREEMENT * max(len(known), 1):
                found.append((median(step for one in known for step in one.steps), axis, column))
    return max(found, key=lambda one: one[:2])[-1] if found else None


def read_view(cases: Sequence[CaseFingerprint], column: Column | None) -> View:
    """Whether (nearly) every case shows `BEYOND` steps past either end of its column of levels.

    Without that a level is known by its place in the image alone, and images should show it where it is.
    """
    if column is None:
        return View(False, "the labels are no levels of a column")
    far = known = 0
    for case, levels in zip(cases, column.cases, strict=True):
        if levels is not None and levels.steps:
            axis, there = column.axis, [place for place in levels.places if place is not None]
            step, length = median(levels.steps), case.spacing_mm[axis] * case.shape[axis]
            # images may be padded with black: what is not shows the column, half a level at one end, and the rest
            rest = case.spacing_mm[axis] * case.cropped_shape[axis] - (there[-1] - there[0]) - step / 2
            past = min(max(there[0], length - there[-1]), rest)
            known, far = known + 1, far + (past >= BEYOND * step)
    text = f"{far} of {known} cases show {BEYOND:g} levels or more beyond an end of the column"
    return View(far >= AGREEMENT * max(known, 1), text)
