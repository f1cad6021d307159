"""What no training case of a fold shows: its network cannot know it, and that is told before anybody trains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from autospine.data.folds import Fold, FoldName
from autospine.planning.measured.fingerprint import Fingerprint


@dataclass(frozen=True)
class Shown:
    """What a case shows."""

    channels: frozenset[int]
    """Channels, from 0, that it has."""
    classes: frozenset[int]
    """Classes in its mask; the first label is 1."""


def shown_by_cases(fingerprint: Fingerprint) -> dict[str, Shown]:
    """What each case shows, by its name."""
    every = range(len(fingerprint.channels))
    return {
        case.case: Shown(
            frozenset(every) - frozenset(case.missing),
            frozenset(value for value, voxels in enumerate(case.class_voxels, start=1) if voxels),
        )
        for case in fingerprint.cases
    }


def unseen_in_folds(
    shown: dict[str, Shown], channels: Sequence[str], classes: Sequence[str], folds: Iterable[tuple[FoldName, Fold]]
) -> tuple[str, ...]:
    """A sentence for each channel and class that no training case of some of the `folds` has."""
    lacking: dict[str, list[str]] = {}
    for number, fold in folds:
        cases = [shown[name] for name in fold.train if name in shown]
        has = frozenset[int]().union(*(case.channels for case in cases))
        holds = frozenset[int]().union(*(case.classes for case in cases))
        absent = [f"has {name}" for index, name in enumerate(channels) if index not in has]
        absent += [f"holds {name}" for index, name in enumerate(classes, start=1) if index not in holds]
        for what in absent if cases else []:
            lacking.setdefault(what, []).append(str(number))
    return tuple(_sentence(what, numbers) for what, numbers in lacking.items())


def _sentence(what: str, numbers: Collection[str]) -> str:
    where, network = ("fold", "its network") if len(numbers) == 1 else ("the folds", "their networks")
    fails = "will not know what that shows" if what.startswith("has ") else "cannot learn to find it"
    return f"No training case of {where} {', '.join(numbers)} {what}: {network} {fails}"
