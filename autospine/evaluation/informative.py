"""Which scans of many to annotate first: those that stand for most of what is uncertain and not yet annotated.

A scan that is chosen answers for the scans around it. What is chosen next is the one that lowers most

    sum over all scans j of   weight_j * distance of j to the nearest annotated or chosen scan

so that ten of the same are not chosen (the first lowers the distance of the other nine), nor outliers alone (they stand
for nobody else), and uncertain scans count more than sure ones. This is greedy facility location with uncertainty as
weights (Wei, Iyer and Bilmes 2015, http://proceedings.mlr.press/v37/wei15.html); the sum falls by at least 63 % of what
the best choice of as many would achieve (Nemhauser, Wolsey and Fisher 1978).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autospine.evaluation.unusual import NORMAL

Floats = npt.NDArray[np.float64]

MOST_SPREADS = 4.0
"""Robust spreads at which a feature is cut off: a scanner with another unit would be all there is."""
LEAST_WEIGHT = 0.2
"""Of the surest scan, beside 1 of the most uncertain: a network can be sure and wrong, so that nothing is left out."""


@dataclass(frozen=True)
class Pick:
    """A scan that is chosen."""

    scan: int
    """Its place among the scans."""
    distance: float
    """To the nearest that was annotated or chosen before; infinite where there was none."""
    stands_for: int
    """Other scans that it is the nearest to of all annotated or chosen so far."""
    unlike: str
    """Group of features in which it differs most from the nearest one before; empty where there was none."""


def standardised(groups: Mapping[str, Floats]) -> dict[str, Floats]:
    """Each group of features (N, F) in robust spreads, so that all groups count alike, whatever their number.

    Distances are over the root of the number of features in a group. What is NaN is as usual; a feature that is the
    same in most scans and differs in some is cut off at `MOST_SPREADS`.
    """
    made = {}
    for name, table in groups.items():
        known = np.where(np.isfinite(table), table, np.nan)
        empty = np.isnan(known).all(axis=0)
        known = known[:, ~empty]
        if not known.shape[1]:
            continue
        centres = np.nanmedian(known, axis=0)
        spreads = NORMAL * np.nanmedian(np.abs(known - centres), axis=0)
        wide = np.nanstd(known, axis=0)
        spreads = np.where(spreads > 0, spreads, np.where(wide > 0, wide, 1.0))
        scaled = np.clip((known - centres) / spreads, -MOST_SPREADS, MOST_SPREADS)
        made[name] = np.nan_to_num(scaled) / np.sqrt(known.shape[1])
    return made


def uncertainty_ranks(signs: Sequence[Floats]) -> Floats:
    """Mean rank of each scan, 0 the surest to 1 the most uncertain, by several signs (N,) of which higher is less sure.

    Ranks, since expected Dice, entropy and disagreement have no common scale. NaN ranks in the middle.
    """
    ranks = []
    for sign in signs:
        known = ~np.isnan(sign)
        if not known.any():
            continue
        rank = np.full(len(sign), 0.5)
        held = sign[known]
        below = (held[None, :] < held[:, None]).sum(axis=1) + ((held[None, :] == held[:, None]).sum(axis=1) - 1) / 2
        rank[known] = below / max(len(held) - 1, 1)
        ranks.append(rank)
    if not ranks:
        return np.full(len(signs[0]) if signs else 0, 0.5)
    mean: Floats = np.mean(ranks, axis=0)
    return mean


def choose(scans: Mapping[str, Floats], annotated: Mapping[str, Floats], uncertainty: Floats, count: int) -> list[Pick]:
    """`count` scans, or all where there are fewer, in the order in which to annotate them.

    Args:
        scans: groups of standardised features (N, F) of the scans.
        annotated: the same (M, F) of what is annotated already; M may be 0.
        uncertainty: (N,), 0 to 1.
        count: how many.
    """
    names = list(scans)
    table = np.concatenate([scans[name] for name in names], axis=1)
    before = np.concatenate([annotated[name] for name in names], axis=1)
    apart = _distances(table, table)
    # where nothing is annotated, everything is as far as the farthest two scans are from each other
    nearest = _distances(table, before).min(axis=1) if len(before) else np.full(len(table), apart.max(initial=0.0) + 1)
    known, weights = before, LEAST_WEIGHT + (1 - LEAST_WEIGHT) * uncertainty
    picks: list[Pick] = []
    left = np.ones(len(table), bool)
    while len(picks) < count and left.any():
        gains = (weights[None, :] * np.maximum(nearest[None, :] - apart, 0)).sum(axis=1)
        # of scans that no other stands near, and where nothing is to be gained, the most uncertain
        best = int(np.argmax(np.where(left, gains + 1e-9 * weights, -np.inf)))
        distance = float(nearest[best]) if len(known) else float("inf")
        closer = (apart[best] < nearest) & left
        unlike = _unlike(scans, {name: table_of for name, table_of in annotated.items()}, picks, best)
        picks.append(Pick(best, distance, int(np.count_nonzero(closer)) - int(closer[best]), unlike))
        nearest = np.minimum(nearest, apart[best])
        known = np.concatenate([known, table[best : best + 1]])
        left[best] = False
    return picks


def _unlike(scans: Mapping[str, Floats], annotated: Mapping[str, Floats], picks: Sequence[Pick], scan: int) -> str:
    """The group in which a scan lies farthest from the nearest of those before it."""
    chosen = [pick.scan for pick in picks]
    squares = {}
    for name, table in scans.items():
        before = np.concatenate([annotated[name], table[chosen]])
        squares[name] = ((before - table[scan]) ** 2).sum(axis=1)
    total = np.sum(list(squares.values()), axis=0)
    if not len(total):
        return ""
    nearest = int(np.argmin(total))
    return max(squares, key=lambda name: float(squares[name][nearest]))


def _distances(first: Floats, second: Floats) -> Floats:
    """(N, M) Euclidean distances."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None, :] - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float64)
