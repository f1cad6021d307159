"""Intervals of mean scores: what the means could have been with other subjects of the same kind.

Bootstrap over subjects, each with all of its cases (BCa, as `paired.interval`; Efron 1987). A resample is how often
each subject was drawn, so that a mean in all resamples is a product of matrices, and many take hardly longer than one:

    drawn     subject    a  b  c       sums  a  0.9       a mean is (2 * 0.9 + 0.6) / (2 * 1 + 1)
    resample 1           2  0  1             b  1.5
    resample 2           1  1  1             c  0.6       counts 1, 2 (two cases), 1
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from autospine.evaluation.paired import LEVEL, RESAMPLES, Floats

_SEED = 1
_CHUNK = 1 << 21
"""Numbers of the resamples that are worked on at once."""
_SAME = 1e-12
"""Relative difference of means that is rounding."""


@dataclass(frozen=True)
class MeanIntervals:
    """95 % intervals; NaN where fewer than two subjects say something."""

    low: Floats
    """(classes + 1, metrics); the last is that of the mean over the classes."""
    high: Floats


def mean_intervals(sums: Floats, counts: Floats) -> MeanIntervals:
    """The intervals of the mean of each class over its cases, and of the mean over the classes.

    Args:
        sums: (subjects, classes, metrics) of a subject's cases that have a number.
        counts: (subjects, classes, metrics) of these cases; subjects with 0 do not count for that class.
    """
    subjects, classes, metrics = sums.shape
    low, high = (np.full((classes + 1, metrics), math.nan) for _ in range(2))
    if subjects > 1:
        drawn = _resamples(subjects)
        for metric in range(metrics):
            low[:, metric], high[:, metric] = _bounds(drawn, sums[:, :, metric], counts[:, :, metric])
    return MeanIntervals(low, high)


def _resamples(subjects: int) -> npt.NDArray[np.uint8]:
    """How often each subject is in each resample, (resamples, subjects); the draws of scipy with the same seed."""
    rng, counts = np.random.default_rng(_SEED), np.zeros((RESAMPLES, subjects), np.uint8)
    for part in _parts(subjects):
        rows = counts[part]
        places = rng.integers(0, subjects, rows.shape) + subjects * np.arange(len(rows))[:, np.newaxis]
        rows[:] = np.bincount(places.ravel(), minlength=rows.size).reshape(rows.shape)
    return counts


def _parts(subjects: int) -> list[slice]:
    """The resamples in parts that are small enough to be worked on at once."""
    step = max(1, _CHUNK // subjects)
    return [slice(start, start + step) for start in range(0, RESAMPLES, step)]


def _bounds(drawn: npt.NDArray[np.uint8], sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Lower and upper end of each class and of their mean, from `sums` and `counts` (subjects, classes) of a metric."""
    whole = _means(sums.sum(0, keepdims=True), counts.sum(0, keepdims=True))[0]
    weights = (drawn[part].astype(np.float64) for part in _parts(len(sums)))
    # NaN, of resamples without the class, come last
    resampled = np.sort(np.concatenate([_means(one @ sums, one @ counts) for one in weights]), axis=0)
    left_out = _means(sums.sum(0) - sums, counts.sum(0) - counts)

    valid = np.count_nonzero(~np.isnan(resampled), axis=0)
    near = _SAME * np.maximum(np.abs(whole), 1e-3)
    below = np.count_nonzero(resampled < whole - near, axis=0) + np.count_nonzero(resampled <= whole + near, axis=0)
    with np.errstate(all="ignore"):  # of what no subject says anything
        bias = special.ndtri(below / (2 * valid))
        known = np.count_nonzero(~np.isnan(left_out), axis=0)
        pulls = np.nan_to_num(np.nansum(left_out, axis=0) / known - left_out)
        squares = (pulls**2).sum(0)
        acceleration = np.where(squares > 0, (pulls**3).sum(0) / (6 * squares**1.5), 0)
        ends = []
        for share in (LEVEL / 2, 1 - LEVEL / 2):
            moved = bias + special.ndtri(share)
            corrected = special.ndtr(bias + moved / (1 - acceleration * moved))
            ends.append(_quantile(resampled, valid, np.where(np.isnan(corrected), share, corrected)))
    saying = np.append(np.count_nonzero(counts, axis=0), np.count_nonzero(counts.any(axis=1)))
    low, high = (np.where(saying > 1, end, math.nan) for end in ends)
    return low, high


def _means(sums: Floats, counts: Floats) -> Floats:
    """(rows, classes + 1): the mean of each class from `sums` and `counts` (rows, classes), and the mean over these."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.where(counts > 0, sums / counts, math.nan)
        known = np.count_nonzero(~np.isnan(means), axis=1)
        overall = np.nansum(means, axis=1) / known
    return np.column_stack((means, overall))


def _quantile(ascending: Floats, valid: npt.NDArray[np.int64], shares: Floats) -> Floats:
    """The share `shares` of each column of `ascending`, of which so many numbers are `valid`; linear between two."""
    place = shares * np.maximum(valid - 1, 0)
    before = np.floor(place).astype(np.int64)
    behind = np.minimum(before + 1, np.maximum(valid - 1, 0))
    columns = np.arange(ascending.shape[1])
    lower, upper = ascending[before, columns], ascending[behind, columns]
    between: Floats = lower + (upper - lower) * (place - before)
    return between
