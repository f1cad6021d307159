"""Which axes have an order or sides, read from the labels: an image may not be mirrored there, or sides have to swap.

Upside down, L2 looks like L4: a network that is shown mirrored spines cannot learn levels (measured on lumbar MR: Dice
0.39 with mirroring along every axis, 0.81 without; docs/benchmarks/cpu.md). The rules are ours. Canonical axes: Z, Y, X
increase towards superior, posterior, left.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from statistics import median

from autospine.planning.document.data import LevelsPlan
from autospine.planning.measured.fingerprint import CaseFingerprint, Fingerprint

AGREEMENT = 0.95
"""Share of the cases with both classes that must show the same order; one odd field of view in twenty is let pass."""
SEPARATION = 0.5
"""Mean centroid distance over mean extent: concentric classes (white and grey matter) stay far below it."""
MARGIN = 0.1
"""Centroid distance over extent below which a single case counts as undecided."""
LEAST_LEVELS = 3
"""Classes of a chain of levels: of two that lie apart nobody knows whether a third could follow."""
EVEN = 1.5
"""Largest over smallest distance of neighbouring levels in a case."""
SINGLE = 1.5
"""Extent of a level over the distance to its neighbours: longer ones overlap, or hold several pieces."""
SUREST = 0.98
"""Largest share of cases said to show an end of a column: however many did, the next view may be another one."""
BEYOND = 2.0
"""Steps from level to level that a view shows past the centre of the last one, from where levels can be counted: lumbar
views with the sacrum show 2.8, views that end with L5 show 1.2."""
AXIS_NAMES = ("from inferior to superior", "from anterior to posterior", "from right to left")
SIDES = {"left": "right", "l": "r", "lt": "rt", "lh": "rh"}
_SIDE_WORDS = {*SIDES, *SIDES.values()}


@dataclass(frozen=True)
class AxisAnatomy:
    """What the labels say about one canonical axis."""

    directed: bool
    """Whether a mirrored image would carry wrong labels."""
    reason: str
    """Why, with the counts."""
    swaps: tuple[tuple[int, int], ...] = ()
    """Classes (from 1) that change places in a mirrored image, after which its labels are right; none where they cannot
    be."""

    @property
    def mirrored(self) -> bool:
        """Whether images may be mirrored along it."""
        return not self.directed or bool(self.swaps)


def read_anatomy(fingerprint: Fingerprint) -> tuple[AxisAnatomy, AxisAnatomy, AxisAnatomy]:
    """Order and sides along the canonical axes Z, Y, X."""
    names = tuple(name for name, _ in fingerprint.labels)
    # regions may be paired too: they cannot swap, but mirrored they would be wrong
    every = tuple(dict.fromkeys((*names, *(region.name for region in fingerprint.regions))))
    pairs = fingerprint.sides or sided_pairs(every)
    lone = [name for name in every if {"left", "right"} & set(_words(name)) and not any(name in pair for pair in pairs)]
    found = []
    for axis, (chain, agree, having) in enumerate(_chains(fingerprint)):
        reasons = []
        if len(chain) > 1:
            order = " < ".join(names[index] for index in chain)
            reasons.append(f"{AXIS_NAMES[axis]} {order} in {agree} of {having} cases")
        if axis == 2 and (pairs or lone):
            told = [" / ".join(pair) for pair in pairs] + lone
            reasons.append(f"sides are told apart by name ({', '.join(told)})")
        text = " and ".join(reasons) if reasons else f"no order of the labels {AXIS_NAMES[axis]}"
        swaps = _swaps(fingerprint, names, pairs) if axis == 2 and pairs else ()
        found.append(AxisAnatomy(bool(reasons), text, swaps))
    return found[0], found[1], found[2]


# pairs of 24 classes take a second
@lru_cache(maxsize=2)
def _swaps(
    fingerprint: Fingerprint, names: tuple[str, ...], pairs: tuple[tuple[str, str], ...]
) -> tuple[tuple[int, int], ...]:
    """Classes (from 1) to swap where an image is mirrored from right to left, so that its labels are right again.

    None where a side has no partner, or where the order of the labels would be another one even so.
    """
    if fingerprint.regions:  # what is learnt there is no class that could swap with another
        return ()
    places = {name: place for place, name in enumerate(names)}
    partner = {places[one]: places[other] for pair in pairs for one, other in (pair, pair[::-1])}
    sided = {place for place, name in enumerate(names) if _SIDE_WORDS & set(_words(name))}
    if len(partner) != 2 * len(pairs) or not sided <= partner.keys():
        return ()
    before = ordered_pairs(fingerprint.cases, len(names), 2)
    # mirrored and swapped, first < second becomes partner of second < partner of first
    if any((partner.get(first, first), partner.get(second, second)) in before for first, second in before):
        return ()
    return tuple((places[left] + 1, places[right] + 1) for left, right in pairs)


def planned_sides(fingerprint: Fingerprint) -> tuple[tuple[int, int], ...]:
    """Classes that swap wherever a patch is mirrored from right to left."""
    return read_anatomy(fingerprint)[2].swaps


def sided_pairs(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Pairs of label names that differ in their side only: (left_ES, right_ES), (kidney_L, kidney_R) ..."""
    words = {name: _words(name) for name in names}
    pairs = []
    for left in names:
        for place, word in enumerate(words[left]):
            if word in SIDES:
                partner = (*words[left][:place], SIDES[word], *words[left][place + 1 :])
                pairs += [(left, right) for right in names if words[right] == partner]
    return tuple(pairs)


def _words(name: str) -> tuple[str, ...]:
    """Lower-case words of a label name: `leftKidney`, `left-kidney` and `Left kidney` are alike."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(word for word in re.split(r"[^a-z0-9]+", split.lower()) if word)


def longest_chain(cases: Sequence[CaseFingerprint], classes: int, axis: int) -> tuple[tuple[int, ...], int, int]:
    """(classes in increasing order along the canonical `axis`, cases that agree, cases that have the pair).

    The counts are those of the chain's weakest pair. Every pair of neighbours in the chain keeps its order in at
    least 95 % of the cases that have both, and in at least two (one, where the data set is one case), and lies apart
    by more than half of its mean extent. Without such a pair the chain is empty.
    """
    before = ordered_pairs(cases, classes, axis)
    chain = _longest_path(before, classes)
    if len(chain) < 2:
        return (), 0, 0
    weakest = min((before[pair] for pair in zip(chain, chain[1:], strict=False)), key=lambda pair: (pair[0], -pair[1]))
    return chain, *weakest


def ordered_pairs(cases: Sequence[CaseFingerprint], classes: int, axis: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Classes (first, second) in increasing order along the canonical `axis` -> (cases that agree, that have both)."""
    before: dict[tuple[int, int], tuple[int, int]] = {}
    for first, second in combinations(range(classes), 2):
        distances, extents = pair_distances(cases, first, second, axis)
        order = pair_order(distances, extents, least=min(2, len(cases)))
        if order is not None:
            sign, agree = order
            before[(first, second) if sign > 0 else (second, first)] = (agree, len(distances))
    return before


def pair_order(distances: Sequence[float], extents: Sequence[float], *, least: int) -> tuple[int, int] | None:
    """(1 where distances are positive, else -1; cases that agree) of a pair of classes; None where it has no order.

    `distances` and `extents` as of `pair_distances`, from `least` cases at least.
    """
    if not distances or len(distances) < least:
        return None
    if abs(sum(distances) / len(distances)) <= SEPARATION * (sum(extents) / len(extents)):
        return None
    for sign in (1, -1):
        agree = sum(sign * distance > MARGIN * size for distance, size in zip(distances, extents, strict=True))
        if agree >= AGREEMENT * len(distances):
            return sign, agree
    return None


# a budget makes dozens of configurations of one fingerprint, and the pairs of 24 classes take a second
@lru_cache(maxsize=2)
def _chains(fingerprint: Fingerprint) -> tuple[tuple[tuple[int, ...], int, int], ...]:
    """`longest_chain` of all labels along each canonical axis."""
    return tuple(longest_chain(fingerprint.cases, len(fingerprint.labels), axis) for axis in range(3))


@lru_cache(maxsize=2)
def read_levels(fingerprint: Fingerprint) -> tuple[int, tuple[int, ...]] | None:
    """(canonical axis, class indices from 0 in increasing order) where all labels are levels of one column, else None.

    Levels are three labels or more that follow each other along an axis without a gap, at about even distances, each of
    them about as long as it is apart from the next: vertebrae, or discs.
    """
    count = len(fingerprint.labels)
    if fingerprint.regions:  # they overlap: no voxel is one level alone
        return None
    found = []
    for axis, (chain, _, _) in enumerate(_chains(fingerprint)):
        if len(chain) == count >= LEAST_LEVELS:
            columns = [level_column(case, chain, axis) for case in fingerprint.cases]
            known = [column for column in columns if column is not None]
            if sum(map(_is_even, known)) >= AGREEMENT * max(len(known), 1):
                found.append((median(distance for places, _ in known for distance in level_steps(places)), axis, chain))
    if not found:
        return None
    _, axis, chain = max(found)
    return axis, chain


def planned_levels(fingerprint: Fingerprint) -> LevelsPlan | None:
    """What a prediction may know of the levels of a column; None where the labels are none."""
    column = read_levels(fingerprint)
    if column is None:
        return None
    axis, chain = column
    columns = [level_column(case, chain, axis) for case in fingerprint.cases]
    ratios = [
        median(level_steps(places)) / median(extents)
        for places, extents in filter(None, columns)
        if level_steps(places)
    ]
    classes = tuple(index + 1 for index in chain)
    seen = (_share_that_shows(fingerprint, chain[0]), _share_that_shows(fingerprint, chain[-1]))
    return LevelsPlan(classes, axis, round(median(ratios), 3), seen)


def _share_that_shows(fingerprint: Fingerprint, index: int) -> float:
    """Share of the cases that have a class; half a case for either answer, and never surer than `SUREST`."""
    cases = fingerprint.cases
    share = (sum(case.class_centroids_mm[index] is not None for case in cases) + 0.5) / (len(cases) + 1)
    return round(min(max(share, 1 - SUREST), SUREST), 4)


@dataclass(frozen=True)
class View:
    """What the images show beside a column of levels, at either end."""

    countable: bool
    """Whether they show what lies beyond its end, such as the sacrum, so that its levels can be counted from there."""
    reason: str
    """Why, with the counts."""


def read_view(fingerprint: Fingerprint) -> View:
    """Whether (nearly) every case shows `BEYOND` steps past either end of its column of levels.

    Without that a level is known by its place in the image alone, and images should show it where it is.
    """
    found = read_levels(fingerprint)
    if found is None:
        return View(False, "the labels are no levels of a column")
    axis, chain = found
    far = known = 0
    for case in fingerprint.cases:
        column = level_column(case, chain, axis)
        steps = [] if column is None else level_steps(column[0])
        if column is not None and steps:
            there = [place for place in column[0] if place is not None]
            step, length = median(steps), case.spacing_mm[axis] * case.shape[axis]
            # images may be padded with black: what is not shows the column, half a level at one end, and the rest
            rest = case.spacing_mm[axis] * case.cropped_shape[axis] - (there[-1] - there[0]) - step / 2
            past = min(max(there[0], length - there[-1]), rest)
            known, far = known + 1, far + (past >= BEYOND * step)
    text = f"{far} of {known} cases show {BEYOND:g} levels or more beyond an end of the column"
    return View(far >= AGREEMENT * max(known, 1), text)


def read_patch_view(fingerprint: Fingerprint, patch_axes: Sequence[int]) -> View:
    """`read_view` as a patch over the canonical axes `patch_axes` has it."""
    found = read_levels(fingerprint)
    if found is not None and found[0] not in patch_axes:
        return View(False, "a patch lies across the column")
    return read_view(fingerprint)


def level_column(
    case: CaseFingerprint, chain: Sequence[int], axis: int
) -> tuple[list[float | None], list[float]] | None:
    """Place of each class of the chain and extents of those that are there, mm; None where a case has only one."""
    centroids = [case.class_centroids_mm[index] for index in chain]
    places = [None if centroid is None else centroid[axis] for centroid in centroids]
    there = [index for index, place in zip(chain, places, strict=True) if place is not None]
    extents = [case.class_extents_mm[index][axis] for index in there]
    return (places, extents) if len(extents) > 1 else None


def level_steps(places: Sequence[float | None]) -> list[float]:
    """Distances of neighbours on the chain that are both there."""
    return [there - here for here, there in pairwise(places) if here is not None and there is not None]


def _is_even(column: tuple[list[float | None], list[float]]) -> bool:
    """Whether the levels of a case follow each other evenly, none missing, each as long as it is far from the next."""
    places, extents = column
    steps = level_steps(places)
    if len(steps) != len(extents) - 1 or min(steps) <= 0:
        return False
    return max(steps) <= EVEN * min(steps) and median(extents) <= SINGLE * median(steps)


def pair_distances(
    cases: Sequence[CaseFingerprint], first: int, second: int, axis: int
) -> tuple[list[float], list[float]]:
    """Signed centroid distance (second minus first) and mean extent in mm, per case that has both classes."""
    distances, extents = [], []
    for case in cases:
        here, there = case.class_centroids_mm[first], case.class_centroids_mm[second]
        if here is not None and there is not None:
            distances.append(there[axis] - here[axis])
            extents.append((case.class_extents_mm[first][axis] + case.class_extents_mm[second][axis]) / 2)
    return distances, extents


def _longest_path(before: dict[tuple[int, int], tuple[int, int]], classes: int) -> tuple[int, ...]:
    """Longest chain of the relation; grown a class at a time, so odd data with a cycle end too."""
    chains: dict[int, tuple[int, ...]] = {index: (index,) for index in range(classes)}
    for _ in range(classes):
        for first, second in sorted(before):
            longer = (*chains[first], second)
            if second not in chains[first] and len(longer) > len(chains[second]):
                chains[second] = longer
    return max(chains.values(), key=len, default=())
