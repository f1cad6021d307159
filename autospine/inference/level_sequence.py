"""Which levels the vertebrae of a column are: a posterior over all sequences that the column could be.

What the network says of each vertebra by itself is weighed together with what is true of columns: from one vertebra to
the next it is one level, unless one was missed (the gap is as wide as two), or the patient has one more or one fewer
than the chain. Levels that would lie in the view and are not there count against a sequence:

    below the first vertebra the image goes on for two steps, and nothing is found there:
        the first one is L5, the end of the chain, or L5 was missed, which is rare
    the image ends right below it:
        it may be any level, and what the network sees has to say which

Vertebrae grow from the neck to the sacrum, and so do their distances: where the training cases tell how, that counts as
well, in patients of all sizes (the posterior is a mixture over these).

The sums run over every sequence (forward and backward, Rabiner 1989), so that the answer is a probability: of each
level for each vertebra, and of the likeliest sequence. Our own model, and all numbers are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import floor, log
from typing import Any

import numpy as np
import numpy.typing as npt

from autospine.planning.document.data import LevelSizes

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
ROOM = 0.5
"""What a view shows beyond a vertebra, in steps, from which on another one would be seen there."""
MOST_SKIPPED = 3
"""Levels in a row that may have been missed."""
SIZE_WEIGHT = 0.5
"""Of what sizes say: the network has seen them as well."""
UNUSUAL, UNUSUAL_SPREAD = 0.1, 0.4
"""Share of the vertebrae whose size says little of their level, such as fractured ones, and the deviation of its
logarithm. Lower, a broken vertebra decides for a whole column."""
NODE = 1.5
"""Distance of two sizes of patients that are added up over, in deviations of the size that the column tells: sums of
bell curves at such nodes are right to a thousandth and better."""
LIKELY, OUTER = 1.0, (0.05, 0.95)
"""Sizes of patients are looked for where vertebrae put them that are taken for levels so much less likely than the
likeliest, as a logarithm of what the network says; and of these between such parts."""
FORGOTTEN = 12.0
"""Logarithm by which a size is less likely than the likeliest one where it is left out."""
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
    sizes: LevelSizes | None = None
    """How long levels usually are and how far apart; None where nobody knows."""
    extents_mm: Floats = field(default_factory=lambda: np.zeros(0))
    """(n,): of the vertebrae along the column; NaN where one is cut off. Only read beside `sizes`, as is the next."""
    gaps_mm: Floats = field(default_factory=lambda: np.zeros(0))
    """(n - 1,): distances of neighbours; NaN where one of them is cut off."""

    @property
    def shows_end(self) -> bool:
        """Whether the view goes on beyond the first or the last vertebra far enough to show another one."""
        return max(self.beyond) >= ROOM


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
    passes = [
        _Pass.of(first, said + sized, [step.sized(more) for step, more in zip(steps, apart, strict=True)], last, prior)
        for prior, sized, apart in _patients(seen, positions)
    ]
    likeliest = max(one.total for one in passes)
    kept = [one for one in passes if one.total >= likeliest - FORGOTTEN]
    found = [one.sums() for one in kept]
    total = float(_log_sum([one.total for one in found]))
    shares = [float(np.exp(one.total - total)) for one in found]
    marginal = sum(share * one.marginal for share, one in zip(shares, found, strict=True))
    chances = np.zeros((count, levels + 1))
    np.add.at(chances.T, emitted, np.asarray(marginal).T)
    more, fewer = (
        min(1.0, sum(share * kind for share, kind in zip(shares, kinds, strict=True)))
        for kinds in ([one.more for one in found], [one.fewer for one in found])
    )
    return LevelPosterior(positions[_likeliest_of(kept, [one.best for one in found])], chances, more, fewer)


def _patients(seen: ColumnSeen, positions: Positions) -> Iterator[tuple[float, Floats, list[Floats]]]:
    """Sizes that the patient may have, as close to each other as what is seen can tell apart.

    Of each its log probability, what it makes of the length of each vertebra (n, positions), and of each gap for a step
    that begins at a position (n - 1, positions). Few patients are as large as this or that, but some are (a Cauchy
    distribution): a child is a small patient, and no adult of other levels.
    """
    count, sizes = len(seen.evidence), seen.sizes
    known = 0 if sizes is None else int(np.isfinite(seen.extents_mm).sum() + np.isfinite(seen.gaps_mm).sum())
    if sizes is None or not known:
        yield 0.0, np.zeros((count, len(positions))), [np.zeros(len(positions))] * (count - 1)
        return
    long, apart = np.log(sizes.extents_mm), np.log(sizes.gaps_mm)
    off = [np.subtract.outer(np.log(seen.extents_mm), long), np.subtract.outer(np.log(seen.gaps_mm), apart)]
    said = seen.evidence[:, : len(long)]
    likely = said >= said.max(axis=1, keepdims=True) - LIKELY
    every = np.concatenate(
        [one[np.isfinite(one) & likely[: len(one), : one.shape[1]]] for one in off if one.size] or [np.zeros(0)]
    )
    if not len(every):
        every = np.concatenate([one[np.isfinite(one)] for one in off])
    step = NODE * min(sizes.extent_spread, sizes.gap_spread) / np.sqrt(SIZE_WEIGHT * known)
    low, high = np.quantile(every, OUTER)
    larger = np.arange(low - 2 * step, high + 3 * step, step)
    weights = -np.log1p(np.square(larger / sizes.patient_spread))
    for size, weight in zip(larger, weights - _log_sum(weights), strict=True):
        yield (
            float(weight),
            _fitting(seen.extents_mm, long + size, sizes.extent_spread, positions),
            list(_fitting(seen.gaps_mm, apart + size, sizes.gap_spread, positions)),
        )


def _fitting(found_mm: Floats, usual: Floats, spread: float, positions: Positions) -> Floats:
    """(found, positions): log density of what was found at each place of the chain; beyond it that of all in the mean.

    0 where nothing was found (NaN).
    """
    known = np.isfinite(found_mm)[:, None]
    off = np.log(np.where(known, found_mm[:, None], 1.0)) - usual
    parts = [log(1 - UNUSUAL) + _normal(off, spread), log(UNUSUAL) + _normal(off, UNUSUAL_SPREAD)]
    own = SIZE_WEIGHT * np.where(known, np.logaddexp(*parts), 0.0)
    mean = _log_sum(own, axis=1) - log(own.shape[1])
    inside = (positions >= 0) & (positions < len(usual))
    fitting: Floats = np.where(inside, own[:, np.clip(positions, 0, len(usual) - 1)], mean[:, None])
    return fitting


def _normal(off: Floats, spread: float) -> Floats:
    density: Floats = -0.5 * (off / spread) ** 2 - log(spread)
    return density


@dataclass(frozen=True)
class _Pass:
    """All sequences for a patient of one size, summed up from the first vertebra on."""

    first: Floats
    said: Floats
    steps: Sequence[_Steps]
    last: Floats
    prior: float
    forward: Sequence[Floats]
    """Of each vertebra (positions,): log of the sum of all sequences up to it."""
    total: float
    """Log of the sum of all."""

    @staticmethod
    def of(first: Floats, said: Floats, steps: Sequence[_Steps], last: Floats, prior: float) -> _Pass:
        """Over the columns of `said` (n, positions)."""
        forward = [first + said[0] + prior]
        for step, here in zip(steps, said[1:], strict=True):
            forward.append(_log_sum(forward[-1][:, None] + step.every, axis=0) + here)
        return _Pass(first, said, steps, last, prior, forward, float(_log_sum(forward[-1] + last)))

    def sums(self) -> _Sums:
        """What comes out of them, with the way back."""
        said, steps = self.said, self.steps
        backward = [self.last]
        for step, there in zip(steps[::-1], said[:0:-1], strict=True):
            backward.append(_log_sum(step.every + (there + backward[-1])[None], axis=1))
        backward.reverse()

        def expected(kind: str) -> float:
            found = 0.0
            for index, step in enumerate(steps):
                there = (said[index + 1] + backward[index + 1])[None]
                part = self.forward[index][:, None] + getattr(step, kind) + there
                found += float(np.exp(_log_sum(part) - self.total))
            return found

        marginal = np.exp(np.stack(self.forward) + np.stack(backward) - self.total)
        best = _likeliest(self.first, said, [step.every for step in steps], self.last)
        return _Sums(self.total, marginal, expected("more"), expected("fewer"), best)

    def weight(self, sequence: Positions) -> float:
        """Log weight of a sequence of indices of positions."""
        passed = sum(step.every[pair] for step, pair in zip(self.steps, pairwise(sequence), strict=True))
        seen = self.said[np.arange(len(self.said)), sequence].sum()
        return float(self.prior + self.first[sequence[0]] + seen + passed + self.last[sequence[-1]])


@dataclass(frozen=True)
class _Sums:
    """What comes out of all sequences for a patient of one size."""

    total: float
    """Log of the sum of their weights."""
    marginal: Floats
    """(n, positions): probability of each position for each vertebra."""
    more: float
    """Expected number of steps that are one more."""
    fewer: float
    best: Positions
    """The likeliest sequence, as indices of positions."""


@dataclass(frozen=True)
class _Steps:
    """Log probabilities (positions, positions) of going from one to another between neighbours."""

    every: Floats
    more: Floats
    """That of the same level once more alone."""
    fewer: Floats
    """That of two levels on where nothing was missed alone."""

    def sized(self, apart: Floats) -> _Steps:
        """The same where a gap fits to the step of one level from each position so well, as a log density."""
        mean = _log_sum(apart) - log(len(apart))
        one_on = np.eye(len(apart), k=1, dtype=bool)
        fitting = np.where(one_on, apart[:, None], mean)
        return _Steps(self.every + fitting, self.more + mean, self.fewer + mean)


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
    room = max(0, floor(beyond + 1 - ROOM))
    missed, beyond_it = np.clip(inner, 0, room), np.maximum(-inner, 0)
    found = np.where(beyond_it > 0, log(BEYOND) + (beyond_it - 1) * log(AGAIN), 0.0)
    if room:
        found = found + np.where(missed > 0, log(1 - seen) + (missed - 1) * log(AGAIN), log(seen))
    return np.asarray(found, np.float64)


def _log_sum(logs: npt.ArrayLike, axis: int | None = None) -> Any:
    """Logarithm of a sum of exponentials, as scipy's `logsumexp`, which takes ten times as long for so few numbers."""
    values = np.asarray(logs, np.float64)
    most = values.max(axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):  # what can never be has a logarithm of minus infinity
        total = np.log(np.exp(values - most).sum(axis=axis)) + most.squeeze(axis)
    return total


def _likeliest_of(passes: Sequence[_Pass], best: Sequence[Positions]) -> Positions:
    """Of the sequences that are the likeliest for a patient of some size, the likeliest for all of them together."""
    every = {tuple(one.tolist()): one for one in best}
    return max(every.values(), key=lambda one: float(_log_sum([held.weight(one) for held in passes])))


def _likeliest(first: Floats, said: Floats, steps: Sequence[Floats], last: Floats) -> Positions:
    """The likeliest sequence (Viterbi) as indices."""
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
