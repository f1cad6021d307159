"""Which levels the vertebrae of a column are: a posterior over all sequences that the column could be.

What the network says of each vertebra by itself is weighed together with what is true of columns: from one vertebra to
the next it is one level, unless one was missed (the gap is as wide as two), or the patient has one more or one fewer
than the chain. Levels that would lie in the view and are not there count against a sequence:

    below the first vertebra the image goes on for two steps, and nothing is found there:
        the first one is L5, the end of the chain, or L5 was missed, which is rare
    the image ends right below it:
        it may be any level, and what the network sees has to say which

The sums run over every sequence (forward and backward, Rabiner 1989), so that the answer is a probability: of each
level for each vertebra, and of the likeliest sequence. Our own model, and all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log

import numpy as np
import numpy.typing as npt
from scipy import special

MISSED = 0.02
"""Chance that the network misses a vertebra that is there. Lower, a gap that is twice as wide does not count as one
that was missed; higher, sequences with holes look as good as those without."""
BEYOND = 0.05
"""Chance that it finds one beyond the chain, where masks have none: of 13 lumbar columns that a network had not seen it
called the last thoracic vertebra of one L1."""
AGAIN = 0.3
"""Chance that the next one is missed or found too, beyond an end: where a network errs once, it errs again."""
ODD = 0.01
"""Chance of a step with one vertebra more or fewer than the chain has: some 10 % of patients have a transitional,
missing or additional vertebra (Carrino et al. 2011, doi 10.1148/radiol.11081511), at one of ten steps or so."""
GAP_SPREAD = 0.18
"""Standard deviation of the distance of neighbours over the usual one, as a logarithm: lumbar levels lie 30 to 40 mm
apart in one patient, and pieces are cut off at the edge of a view."""
MOST_SKIPPED = 3
"""Levels in a row that may have been missed."""
_NEVER = -np.inf

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ColumnSeen:
    """What there is to go by, of vertebrae in their order along the chain."""

    evidence: Floats
    """(n, K + 1): what the network says of each vertebra, as log probabilities of the K levels and, last, of none."""
    gaps: Floats
    """(n - 1,): distances of neighbours, in units of the usual step from level to level; above 0."""
    beyond: tuple[float, float]
    """What the image shows beyond the first and the last vertebra, in such units: from its centre on, without half a
    step that is its own."""
    ends_seen: tuple[float, float]
    """Chances that a view which shows room beyond the column shows its first and its last level."""


@dataclass(frozen=True)
class LevelPosterior:
    """What the levels of a column may be."""

    best: Positions
    """(n,): position on the chain of each vertebra in the likeliest sequence; below 0 or from K on where it is none."""
    chances: Floats
    """(n, K + 1): probability of each level, and of none, for each vertebra over all sequences."""
    one_more: float
    """Probability of a sequence in which two vertebrae in a row have one level: the patient has one more."""
    one_fewer: float
    """That of one in which neighbours are two levels apart and no farther than others: the patient has one fewer."""

    @property
    def best_chances(self) -> Floats:
        """(n,): probability of what each vertebra is in the likeliest sequence."""
        levels = self.chances.shape[1] - 1
        inside = (self.best >= 0) & (self.best < levels)
        places = np.where(inside, self.best, levels)
        found: Floats = self.chances[np.arange(len(places)), places]
        return found


def find_levels(seen: ColumnSeen) -> LevelPosterior:
    """The posterior of a column of n vertebrae, n from 1 on."""
    count, levels = len(seen.evidence), seen.evidence.shape[1] - 1
    # positions beyond the chain, as many as there could be vertebrae there
    positions = np.arange(-count, levels + count)
    inside = (positions >= 0) & (positions < levels)
    emitted = np.where(inside, positions, levels)
    said = seen.evidence[:, emitted]
    # what a network finds beyond the last level that it knows it calls by that, or by none
    said[:, positions < 0] = np.maximum(seen.evidence[:, [0]], seen.evidence[:, [levels]])
    said[:, positions >= levels] = np.maximum(seen.evidence[:, [levels - 1]], seen.evidence[:, [levels]])
    first = _end(positions, seen.beyond[0], seen.ends_seen[0])
    last = _end(levels - 1 - positions, seen.beyond[1], seen.ends_seen[1])
    steps = [_steps(gap, len(positions)) for gap in seen.gaps]

    forward = [first + said[0]]
    for step, here in zip(steps, said[1:], strict=True):
        forward.append(special.logsumexp(forward[-1][:, None] + step.every, axis=0) + here)
    backward = [last]
    for step, there in zip(steps[::-1], said[:0:-1], strict=True):
        backward.append(special.logsumexp(step.every + (there + backward[-1])[None], axis=1))
    backward.reverse()
    total = float(special.logsumexp(forward[-1] + last))
    marginal = np.exp(np.stack(forward) + np.stack(backward) - total)
    chances = np.zeros((count, levels + 1))
    np.add.at(chances.T, emitted, marginal.T)

    def share(kind: str) -> float:
        """Expected number of such steps, at most 1."""
        found = 0.0
        for index, step in enumerate(steps):
            part = forward[index][:, None] + getattr(step, kind) + (said[index + 1] + backward[index + 1])[None]
            found += float(np.exp(special.logsumexp(part) - total))
        return min(1.0, found)

    best = positions[_likeliest(first, said, [step.every for step in steps], last)]
    return LevelPosterior(best, chances, share("more"), share("fewer"))


@dataclass(frozen=True)
class _Steps:
    """Log probabilities (positions, positions) of going from one to another between neighbours."""

    every: Floats
    more: Floats
    """That of the same level once more alone."""
    fewer: Floats
    """That of two levels on where nothing was missed alone."""


def _steps(gap: float, count: int) -> _Steps:
    def lies(levels: int) -> float:
        """Log density of the gap where neighbours are so many steps apart."""
        off = (log(gap) - log(levels)) / GAP_SPREAD
        return -0.5 * off * off

    usual = log(1 - 2 * ODD - MISSED)
    change = np.subtract.outer(np.arange(count), np.arange(count)).T
    every, more, fewer = (np.full((count, count), _NEVER) for _ in range(3))
    for skipped in range(MOST_SKIPPED + 1):
        every[change == 1 + skipped] = usual + skipped * log(MISSED) + lies(1 + skipped)
    more[change == 0] = log(ODD) + lies(1)
    fewer[change == 2] = log(ODD) + lies(1)
    return _Steps(np.logaddexp(every, np.logaddexp(more, fewer)), more, fewer)


def _end(inner: Positions, beyond: float, seen: float) -> Floats:
    """Log probability of an end of the column at positions that are `inner` levels away from that of the chain.

    `beyond` is what the image shows there, in steps: levels that would lie in it, and are not, were missed. Where there
    is no room for any, nothing is known of the end.
    """
    room = max(0, floor(beyond + 0.5))
    missed, beyond_it = np.clip(inner, 0, room), np.maximum(-inner, 0)
    found = np.where(beyond_it > 0, log(BEYOND) + (beyond_it - 1) * log(AGAIN), 0.0)
    if room:
        found = found + np.where(missed > 0, log(1 - seen) + (missed - 1) * log(AGAIN), log(seen))
    return np.asarray(found, np.float64)


def _likeliest(first: Floats, said: Floats, steps: Sequence[Floats], last: Floats) -> Positions:
    """Indices of the likeliest sequence (Viterbi)."""
    score, came = first + said[0], list[Positions]()
    for step, here in zip(steps, said[1:], strict=True):
        through = score[:, None] + step
        came.append(through.argmax(axis=0))
        score = through.max(axis=0) + here
    place = int((score + last).argmax())
    places = [place]
    for back in reversed(came):
        places.append(int(back[places[-1]]))
    return np.array(places[::-1])
