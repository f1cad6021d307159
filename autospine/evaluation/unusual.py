"""How far a number lies from those of the other people: in robust spreads, each person counting once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

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
    names, weights = np.asarray(subjects), _weights(values, subjects)
    centres, spreads = np.full(len(values), np.nan), np.full(len(values), np.nan)
    if len(set(names[weights > 0].tolist())) >= MANY:
        middle, spread = _robust(values, weights, floor)
        return np.full(len(values), middle), np.full(len(values), spread)
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        centres[own], spreads[own] = _beside(values, weights, names, name, floor)
    return centres, spreads


def usual_beside(values: Floats, subjects: Sequence[str], case: int, floor: float) -> tuple[float, float]:
    """(median, spread) of the others of one case, as `usual` gives it for each."""
    names, weights = np.asarray(subjects), _weights(values, subjects)
    return _beside(values, weights, names, subjects[case], floor)


def _weights(values: Floats, subjects: Sequence[str]) -> Floats:
    """Of each value: all of a subject together weigh 1; NaN weighs nothing."""
    known = ~np.isnan(values)
    counts = Counter(name for name, there in zip(subjects, known, strict=True) if there)
    return np.array([1 / counts[name] if there else 0.0 for name, there in zip(subjects, known, strict=True)])


def _beside(values: Floats, weights: Floats, names: npt.NDArray[Any], name: str, floor: float) -> tuple[float, float]:
    others = np.where(names != name, weights, 0.0)
    if round(float(others.sum())) < LEAST_OTHERS:  # each subject weighs 1
        return np.nan, np.nan
    return _robust(values, others, floor)


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
    """(median, spread) of the values that weigh anything."""
    held, counted = values[weights > 0], weights[weights > 0]
    middle = weighted_median(held, counted)
    return middle, max(NORMAL * weighted_median(np.abs(held - middle), counted), floor)
