"""How the values of predictions and references belong together, where they do not as they are.

    classes 1, 2     predictions 10, 20    those of the classes times 10
    classes 1, 2     predictions 2, 3      those of the classes plus 1
    classes 1, 2     predictions 2, 1      the same set, and L5 = 1 lies where the predictions hold 2

The first two are told by the sets alone, the last by where the voxels lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from autospine.evaluation.label_pair import Meeting

MOSTLY = 0.5
"""Share of a class's voxels from which one other value of the predictions lies on it."""


def likely_cause(predicted: Collection[int], classes: Collection[int]) -> str:
    """What would make the values of the predictions those of classes, as half a sentence; empty where nothing does.

    Both without 0. A single value of several classes could be any of them, and says nothing.
    """
    values, known = sorted(predicted), set(classes)
    if len(values) == len(known) == 1:
        return f"{values[0]} may stand for {next(iter(known))}"
    if len(values) < 2 or known.issuperset(values):
        return ""
    for value in sorted(known):
        # value : values[0] as held * value / values[0] : held, in whole numbers
        if all(held * value % values[0] == 0 and held * value // values[0] in known for held in values):
            return f"they are those of the classes {_by(values[0] / value)}"
    for value in sorted(known):
        step = values[0] - value
        if known.issuperset(held - step for held in values):
            return f"they are those of the classes {'plus' if step > 0 else 'minus'} {abs(step)}"
    return ""


class Overlaps:
    """Counts which values of the predictions lie on each class of the references."""

    def __init__(self, names: dict[int, str]) -> None:
        """`names` of the classes by their values."""
        self._names = names
        self._lying: dict[int, Counter[int]] = {value: Counter() for value in names}

    def add(self, meetings: Iterable[Meeting]) -> None:
        """Count what meets in one pair of masks."""
        for one in meetings:
            if one.expected in self._lying:
                self._lying[one.expected][one.predicted] += one.voxels

    def exchanged(self) -> str:
        """A sentence that names the classes on which the predictions mostly hold another class; empty without any."""
        told = []
        for value, lying in self._lying.items():
            voxels = lying.total()
            other, count = max(lying.items(), key=lambda held: held[1], default=(0, 0))
            if other in self._names and other != value and count > MOSTLY * voxels:
                told.append(
                    f"{self._names[value]} = {value} lies where they hold {other} ({count / voxels:.0%} of its voxels)"
                )
        return first_of(told, 6)


def first_of(texts: Sequence[str], most: int) -> str:
    """The first texts, and how many more there are."""
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _by(factor: float) -> str:
    return f"times {factor:g}" if factor > 1 else f"divided by {1 / factor:g}"
