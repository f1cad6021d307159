"""Paired comparison of ways that were scored on the same subjects: differences, intervals, tests.

Subjects are what is drawn at random, so they are what is counted. Of each arm against a reference one

    difference   mean over subjects of the paired differences
    interval     95 %, bootstrap over subjects (BCa, 9999 resamples; Efron 1987)
    p            two-sided Wilcoxon signed-rank test, exact for few subjects, then Holm's correction (Holm 1979)

and a difference is called beyond noise where the corrected p is under 0.05 and the interval leaves 0 out. What another
seed or other folds would change is in none of these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

RESAMPLES = 9999
LEVEL = 0.05
_SEED = 1
_BATCH = 1 << 21
"""Numbers that are drawn at once: all resamples of thousands of subjects together would take gigabytes."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over subjects with its 95 % bootstrap interval; NaN where there is nothing to draw from."""

    mean: float
    low: float
    high: float
    subjects: int


@dataclass(frozen=True)
class Compared:
    """An arm against the reference arm, in one figure."""

    arm: str
    reference: str
    difference: Interval
    """Arm minus reference."""
    p: float
    """Of the Wilcoxon signed-rank test; NaN without subjects."""
    corrected: float
    """After Holm's correction over the comparisons made together."""
    least: float = 0.0
    """The smallest p that its subjects without a tie could have given it by itself, after the same correction."""

    @property
    def beyond_noise(self) -> bool:
        """Whether test and interval agree that there is a difference."""
        return self.corrected < LEVEL and (self.difference.low > 0 or self.difference.high < 0)


def mean_over_classes(values: Floats) -> Floats:
    """(subjects, classes) -> (subjects,): the mean over the classes that a subject has; NaN where it has none."""
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    return np.where(counts > 0, np.nansum(values, 1) / np.maximum(counts, 1), math.nan)


def interval(values: Floats) -> Interval:
    """Mean of `values` (subjects,) and its interval; NaN are left out, and fewer than two give no interval."""
    from scipy import stats  # slow to import

    known = values[~np.isnan(values)]
    if len(known) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(known.mean())
    if len(known) == 1:
        return Interval(mean, math.nan, math.nan, 1)
    if np.ptp(known) == 0:
        return Interval(mean, mean, mean, len(known))
    rng = np.random.default_rng(_SEED)
    at_once = max(1, _BATCH // len(known))
    found = stats.bootstrap((known,), np.mean, n_resamples=RESAMPLES, batch=at_once, method="BCa", rng=rng)
    low, high = found.confidence_interval
    return Interval(mean, float(low), float(high), len(known))


def compare(scores: Mapping[str, Floats], reference: str) -> tuple[Compared, ...]:
    """Each other arm of `scores` (arm -> (subjects,), paired) against `reference`; corrected as one family."""
    found = []
    for arm, values in scores.items():
        if arm == reference:
            continue
        differences = values - scores[reference]
        p, moved = _wilcoxon(differences), int(np.count_nonzero(np.nan_to_num(differences)))
        found.append(Compared(arm, reference, interval(differences), p, p, least_p(moved)))
    return corrected(found)


def corrected(compared: Sequence[Compared]) -> tuple[Compared, ...]:
    """The comparisons with Holm's correction over all of them together.

    p = 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06: times 3, 1, 2 in ascending order, none below the one before.
    """
    order = sorted((index for index, one in enumerate(compared) if not math.isnan(one.p)), key=lambda i: compared[i].p)
    held, least = list(compared), 0.0
    for place, index in enumerate(order):
        least = max(least, min(1.0, compared[index].p * (len(order) - place)))
        held[index] = replace(compared[index], corrected=least)
    return tuple(replace(one, least=min(1.0, one.least * len(order))) for one in held)


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p of the paired differences; 1 where all are 0, NaN where there are none."""
    from scipy import stats

    known = differences[~np.isnan(differences)]
    moved = known[known != 0]
    if len(moved) == 0:
        return 1.0 if len(known) else math.nan
    return float(stats.wilcoxon(moved).pvalue)


def least_p(subjects: int) -> float:
    """The smallest p that the test can give for so many subjects: all differences to one side."""
    return min(1.0, 2.0 ** (1 - subjects)) if subjects else math.nan
