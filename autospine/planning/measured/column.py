"""Labels that are levels of one column, such as vertebrae, and what the images show beyond its ends.

Levels are three labels or more that follow each other along an axis, each about as long as it is apart from the next:
those that are called vertebrae, or, where names say nothing, all labels of a data set, without a gap and evenly apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from autospine.data.codes.structures import levels_named, place_in_spine
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

    @property
    def in_order(self) -> bool:
        """Whether those that are there follow each other, each as long as it is far from the next."""
        there = [place for place in self.places if place is not None]
        return all(earlier < later for earlier, later in pairwise(there)) and (
            median(self.extents) <= SINGLE * median(self.steps)
        )


@dataclass(frozen=True)
class Column:
    """Labels as levels of one column."""

    axis: int
    """Canonical axis along which they follow each other."""
    chain: tuple[int, ...]
    """Class indices, from 0, in increasing order."""
    cases: tuple[CaseColumn | None, ...]
    """Of each case in the order of the fingerprint; None where it shows fewer than two levels."""

    @property
    def known(self) -> list[CaseColumn]:
        """Those that are there."""
        return [one for one in self.cases if one is not None]

    @property
    def step_mm(self) -> float:
        """Median distance of neighbours."""
        return median(step for one in self.known for step in one.steps)

    @property
    def is_even(self) -> bool:
        """Whether nearly all cases have levels that are evenly apart."""
        return sum(one.is_even for one in self.known) >= AGREEMENT * max(len(self.known), 1)

    @property
    def in_order(self) -> bool:
        """Whether levels, one piece each, follow each other as in the chain in nearly all cases; some may lack any."""
        held = [one for one in self.known if one.steps]
        return bool(held) and sum(one.in_order for one in held) >= AGREEMENT * len(held)


@dataclass(frozen=True)
class View:
    """What the images show beside a column of levels, at either end."""

    countable: bool
    """Whether they show what lies beyond its end, such as the sacrum, so that its levels can be counted from there."""
    reason: str
    """Why, with the counts."""
    along: bool = False
    """Whether a patch shows levels one after the other."""


def case_column(case: CaseFingerprint, chain: Sequence[int], axis: int) -> CaseColumn | None:
    """The levels of a case along the canonical `axis`; None where it has fewer than two."""
    centroids = [case.class_centroids_mm[index] for index in chain]
    there = [index for index, centroid in zip(chain, centroids, strict=True) if centroid is not None]
    places = tuple(None if centroid is None else centroid[axis] for centroid in centroids)
    extents = tuple(case.class_extents_mm[index][axis] for index in there)
    return CaseColumn(places, extents) if len(extents) > 1 else None


def find_column(
    cases: Sequence[CaseFingerprint], chains: Sequence[Sequence[int]], names: Sequence[str]
) -> Column | None:
    """The levels of a column among the classes; None where there are none, of two the one of larger steps.

    Those that their names call vertebrae are levels wherever they stand in that order, beside whatever other classes:
    discs, the sacrum, the canal. Of classes without such names all have to be levels, evenly apart.

    Args:
        cases: where the classes are.
        chains: of classes, from 0, that follow each other along each canonical axis, the longest ones.
        names: of the classes.
    """
    named = _named_chain(names)
    if named:
        found = [
            Column(axis, chain, _columns(cases, chain, axis)) for axis in range(3) for chain in (named, named[::-1])
        ]
        fitting = [column for column in found if column.in_order]
    else:
        found = [
            Column(axis, tuple(chain), _columns(cases, chain, axis))
            for axis, chain in enumerate(chains)
            if len(chain) == len(names) >= LEAST_LEVELS
        ]
        fitting = [column for column in found if column.is_even]
    return max(fitting, key=lambda column: (column.step_mm, column.axis)) if fitting else None


def _named_chain(names: Sequence[str]) -> tuple[int, ...]:
    """The classes, from 0, that names call vertebrae, from the head on; none where they are too few, or two are one."""
    held = sorted(
        (place_in_spine(levels[0]), index) for index, name in enumerate(names) if len(levels := levels_named(name)) == 1
    )
    distinct = len({place for place, _ in held}) == len(held) >= LEAST_LEVELS
    return tuple(index for _, index in held) if distinct else ()


def _columns(cases: Sequence[CaseFingerprint], chain: Sequence[int], axis: int) -> tuple[CaseColumn | None, ...]:
    return tuple(case_column(case, chain, axis) for case in cases)


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
    return View(far >= AGREEMENT * max(known, 1), text, along=True)
