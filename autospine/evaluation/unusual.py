"""How far a number lies from those of the other people: in robust spreads, each person counting once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEAST_OTHERS = 3
"""Other subjects with a number below which nothing is unusual: of two nobody knows which is the odd one."""
MANY = 60
"""Subjects from which on one's own numbers are left among the others: they move a median no more."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation (Rousseeuw and Croux 1993)."""


def deviations(values: Floats, subjects: Sequence[str], floor: float) -> Floats:
    """(value - median of the others) / their spread, of each value; NaN for what is NaN, 0 for want of others.

    The spread is the median absolute deviation, as a standard deviation, and `floor` at least. Others are the cases of
    other subjects; a subject with several cases counts once.

    Args:
        values: (N,), a number of each case; NaN where it has none.
        subjects: of each case.
        floor: a spread below which differences do not matter, in the unit of the values; above 0.
    """
    centres, spreads = usual(values, subjects, floor)
    found = np.where(np.isnan(spreads), 0.0, (values - centres) / spreads)
    return np.where(np.isnan(values), np.nan, found)


def usual(values: Floats, subjects: Sequence[str], floor: float) -> tuple[Floats, Floats]:
    """(median, spread) of the others, for each case; NaN for want of others. Arguments as of `deviations`."""
    names = np.asarray(subjects)
    known = ~np.isnan(values)
    centres, spreads = np.full(len(values), np.nan), np.full(len(values), np.nan)
    counts = Counter(names[known].tolist())
    weights = np.array([1 / counts[name] if there else 0.0 for name, there in zip(names, known, strict=True)])
    if len(counts) >= MANY:
        middle, spread = _robust(values[known], weights[known], floor)
        return np.full(len(values), middle), np.full(len(values), spread)
    for name in dict.fromkeys(names.tolist()):
        others = known & (names != name)
        if len(counts) - (name in counts) >= LEAST_OTHERS:
            own = names == name
            centres[own], spreads[own] = _robust(values[others], weights[others], floor)
    return centres, spreads


def weighted_median(values: Floats, weights: Floats) -> float:
    """The value with half of the weight on either side; between two of them their mean. Not of nothing.

    1 2 9 with weights 1 1 2 -> 5.5: half of the weight is up to 2, half from 9.
    """
    order = np.argsort(values, kind="stable")
    ordered, below = values[order], np.cumsum(weights[order])
    half = below[-1] / 2
    place = int(np.searchsorted(below, half * (1 - 1e-12)))
    exact = abs(float(below[place]) - half) <= 1e-12 * half and place + 1 < len(ordered)
    return float((ordered[place] + ordered[place + 1]) / 2 if exact else ordered[place])


def _robust(values: Floats, weights: Floats, floor: float) -> tuple[float, float]:
    middle = weighted_median(values, weights)
    return middle, max(NORMAL * weighted_median(np.abs(values - middle), weights), floor)
