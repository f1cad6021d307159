"""In which order classes lie along an axis, from their centroids and extents: pairs of them, and chains.

The rules are ours; `docs/benchmarks/thresholds.md` shows how far real labels lie from their thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

from autospine.data.measures import Floats, pair_distances, places_along
from autospine.planning.measured.fingerprint import CaseFingerprint

AGREEMENT = 0.95
"""Share of the cases with both classes that must show the same order; one odd field of view in twenty is let pass."""
LEAST_MEAN_DISTANCE = 0.5
"""Mean centroid distance over mean extent: concentric classes (white and grey matter) stay far below it."""
LEAST_DISTANCE = 0.1
"""Centroid distance over extent below which a single case counts as undecided."""

Pairs = dict[tuple[int, int], tuple[int, int]]
"""Classes (first, second) in increasing order along an axis -> (cases that agree, cases that have both)."""


def ordered_pairs(cases: Sequence[CaseFingerprint], classes: int, axis: int) -> Pairs:
    """Every pair of classes that keeps an order along the canonical `axis`.

    It does so in at least 95 % of the cases that have both, and in at least two (one, where the data set is one case),
    and lies apart by more than half of its mean extent.
    """
    before: Pairs = {}
    centroids, edges = [case.class_centroids_mm for case in cases], [case.class_extents_mm for case in cases]
    places, extents = places_along(centroids, edges, axis)
    for first, second in combinations(range(classes), 2):
        distances, sizes = pair_distances(places, extents, first, second)
        order = pair_order(distances, sizes, least=min(2, len(cases)))
        if order is not None:
            sign, agree = order
            before[(first, second) if sign > 0 else (second, first)] = (agree, len(distances))
    return before


def pair_order(distances: Floats, extents: Floats, *, least: int) -> tuple[int, int] | None:
    """(1 where distances are positive, else -1; cases that agree) of a pair of classes; None where it has no order.

    `distances` and `extents` as of `measures.pair_distances`, from `least` cases at least.
    """
    count = len(distances)
    if count < max(least, 1):
        return None
    if abs(sum(distances.tolist()) / count) <= LEAST_MEAN_DISTANCE * (sum(extents.tolist()) / count):
        return None
    for sign in (1, -1):
        agree = int(np.count_nonzero(sign * distances > LEAST_DISTANCE * extents))
        if agree >= AGREEMENT * count:
            return sign, agree
    return None


def longest_chain(before: Pairs, classes: int) -> tuple[tuple[int, ...], int, int]:
    """(the most classes in increasing order, cases that agree, cases that have the pair); empty without any pair.

    The counts are those of the chain's weakest pair. It is grown a class at a time, so that odd data with a cycle end
    too.
    """
    chains: dict[int, tuple[int, ...]] = {index: (index,) for index in range(classes)}
    for _ in range(classes):
        for first, second in sorted(before):
            longer = (*chains[first], second)
            if second not in chains[first] and len(longer) > len(chains[second]):
                chains[second] = longer
    chain = max(chains.values(), key=len, default=())
    if len(chain) < 2:
        return (), 0, 0
    weakest = min((before[pair] for pair in pairwise(chain)), key=lambda pair: (pair[0], -pair[1]))
    return chain, *weakest
