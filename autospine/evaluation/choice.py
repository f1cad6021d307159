"""What of several ways to segment is chosen, and what that is worth on cases that had no part in the choice.

Whoever takes the best of many on some cases will find it good there. So each choice is made again without each part of
the cases (the folds), and what the choice of the others gives on that part is what counts:

    part      chosen by the others      counted
    0         above 30 mm3              its gain on the cases of part 0
    1         above 100 mm3             its gain on the cases of part 1
    2         nothing                   0 on the cases of part 2

A gain helps beyond noise where the 95 % interval of its mean over subjects (`paired`) lies above 0 and it changes so
many subjects that chance could not make all of them agree: one that changes four of a hundred rests on four. The figure
is the mean Dice of a subject: over the structures it has, then over its cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autospine.evaluation.paired import Interval, interval, mean_over_classes

FEWEST_SUBJECTS = 6
"""Whose scores differ: where fewer do, differences that all go one way are not beyond chance (sign test:
2 ** (1 - n) < 0.05)."""
_EQUAL = 1e-12
"""Gains that differ by less are the same."""
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def dice_of(overlaps: Counts) -> Floats:
    """Dice of (..., 3) voxels that both have, that are predicted, of the reference; NaN where there are none."""
    both, together = overlaps[..., 0], overlaps[..., 1] + overlaps[..., 2]
    found: Floats = np.where(together > 0, 2 * both / np.maximum(together, 1), np.nan)
    return found


def case_dice(overlaps: Counts) -> Floats:
    """(cases, structures, 3) voxels as of `dice_of` -> (cases,): the mean over the structures that a case has."""
    return mean_over_classes(dice_of(overlaps))


def by_subject(values: Floats, subjects: Sequence[str]) -> Floats:
    """(cases,) -> (subjects,), in the order of their names: the mean over the cases that have a number."""
    names, index = np.unique(np.asarray(subjects), return_inverse=True)
    known = ~np.isnan(values)
    sums = np.bincount(index[known], values[known], len(names))
    counts = np.bincount(index[known], minlength=len(names))
    found: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return found


def moved_by(differences: Floats) -> int:
    """How many subjects have a difference; those without one say nothing of whether it is chance."""
    return int(np.count_nonzero(np.abs(np.nan_to_num(differences)) > _EQUAL))


@dataclass(frozen=True)
class Judged:
    """A choice among options, nothing being one of them."""

    option: int | None
    """Chosen by all cases; None: nothing."""
    gain: Interval
    """On cases that did not choose."""
    moved: int
    """Subjects whose Dice it changes."""

    @property
    def helps(self) -> bool:
        """Whether the option is worth more than nothing, beyond noise."""
        return self.option is not None and self.moved >= FEWEST_SUBJECTS and self.gain.low > 0


def judge(differences: Floats, subjects: Sequence[str], parts: Sequence[int]) -> Judged:
    """The choice among options by what each adds to a case (options, cases), in Dice; NaN where nobody knows.

    Of options that gain the same the first is taken.
    """
    names, part_of = np.asarray(subjects), np.asarray(parts)
    gains = np.zeros(differences.shape[1])
    for part in np.unique(part_of):
        own = part_of == part
        option = _best(differences[:, ~own], names[~own])
        if option is not None:
            gains[own] = differences[option, own]
    gained = by_subject(gains, subjects)
    return Judged(_best(differences, names), interval(gained), moved_by(gained))


def _best(differences: Floats, subjects: npt.NDArray[np.str_]) -> int | None:
    """The option with the largest mean gain over subjects; None where none is above 0."""
    best, found = _EQUAL, None
    for option, values in enumerate(differences):
        known = by_subject(values, subjects.tolist())
        known = known[~np.isnan(known)]
        mean = float(known.mean()) if len(known) else 0.0
        if mean > best + _EQUAL:
            best, found = mean, option
    return found


@dataclass(frozen=True)
class Compared:
    """A candidate beside the best single model."""

    dice: Interval
    difference: Interval | None
    """To the best single model; None of itself."""
    moved: int = 0
    """Subjects whose Dice differs from that."""

    @property
    def better(self) -> bool:
        """Whether it is better than that, beyond noise."""
        found = self.difference
        return found is not None and self.moved >= FEWEST_SUBJECTS and found.low > 0

    @property
    def worse(self) -> bool:
        """Whether it is worse than that, beyond noise."""
        found = self.difference
        return found is not None and self.moved >= FEWEST_SUBJECTS and found.high < 0


@dataclass(frozen=True)
class Picked:
    """The candidate that is taken."""

    candidate: int
    compared: tuple[Compared, ...]
    """Of all candidates."""
    unseen: Interval
    """Dice of what the cases of the other parts would have taken, on each part; of no subject where one was chosen and
    there are no other parts."""


def pick(dice: Floats, sizes: Sequence[int], subjects: Sequence[str], parts: Sequence[int]) -> Picked:
    """The candidate to take by the Dice of each case (candidates, cases).

    That is the single model with the largest mean over subjects, unless an ensemble, which takes as many times as long
    as it has members (`sizes`), is better beyond noise; then the best of these.
    """
    names, part_of = np.asarray(subjects), np.asarray(parts)
    taken = np.full(dice.shape[1], np.nan)
    for part in np.unique(part_of):
        own = part_of == part
        if len(dice) == 1:  # nothing was chosen
            taken[own] = dice[0, own]
        elif not own.all():
            taken[own] = dice[_pick(dice[:, ~own], sizes, names[~own].tolist())[0], own]
    chosen, compared = _pick(dice, sizes, subjects)
    return Picked(chosen, compared, interval(by_subject(taken, subjects)))


def _pick(dice: Floats, sizes: Sequence[int], subjects: Sequence[str]) -> tuple[int, tuple[Compared, ...]]:
    """The candidate to take by these cases, and how all compare."""
    by_people = np.stack([by_subject(values, subjects) for values in dice])
    known = ~np.isnan(by_people)
    means = np.where(known, by_people, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    best = max((one for one, size in enumerate(sizes) if size == 1), key=lambda one: means[one])
    differences = by_people - by_people[best]
    compared = tuple(
        Compared(interval(values), None if one == best else interval(differences[one]), moved_by(differences[one]))
        for one, values in enumerate(by_people)
    )
    better = [one for one, size in enumerate(sizes) if size > 1 and compared[one].better]
    return max(better, key=lambda one: means[one], default=best), compared
