"""What is said of each vertebra of a case: its level, how sure that is, and where the view does not tell.

A level that is not certain has no name, but a number from below and the names that it could have. That is no flaw: of
a view that shows neither end of the column, or of a spine with one vertebra more, nobody can name them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autospine.inference.level_sequence import LevelPosterior
from autospine.inference.vertebral_levels import FoundColumn
from autospine.planning.document.data import DataPlan
from autospine.planning.document.trust import LevelTrust

LIKELY = 0.1
"""Probability from which a name, or another number of vertebrae than usual, is worth telling."""


@dataclass(frozen=True)
class FoundVertebra:
    """A vertebra, as it was found."""

    number: int
    """From below, the first 1."""
    level: str | None
    """The name of its level in the segmentation; None where it was taken for none of them."""
    probability: float
    """Of that level, or of none."""
    others: tuple[tuple[str, float], ...]
    """Other levels that it may be, with their probabilities, the likeliest first; "none" among them."""
    named: bool
    """Whether the level is certain."""
    cut_off: bool
    """Whether the image ends in it, above or below."""
    voxels: int
    """Of the prepared image."""
    why: str
    """Why the level is not certain; empty where it is."""


def said_of(found: FoundColumn, data: DataPlan, trust: LevelTrust) -> tuple[FoundVertebra, ...]:
    """What is said of the vertebrae of a case, from below.

    `trust` says from which probability a level has a name.
    """
    assert data.levels is not None
    certain = trust.certain(shows_end=found.seen.shows_end)
    names = [data.names[index - 1] for index in data.levels.classes]
    posterior, said = found.levels, list[FoundVertebra]()
    for place, (vertebra, chances) in enumerate(zip(found.vertebrae, posterior.chances, strict=True)):
        position = int(posterior.best[place])
        inside = 0 <= position < len(names)
        own = position if inside else len(names)
        others = sorted(((float(chance), index) for index, chance in enumerate(chances) if index != own), reverse=True)
        told = tuple((_name(index, names), chance) for chance, index in others if chance >= LIKELY)
        probability = float(chances[own])
        named = inside and probability >= certain
        level = names[position] if inside else None
        why = "" if named else _why(found, posterior, level, probability, told)
        said.append(
            FoundVertebra(len(said) + 1, level, probability, told, named, vertebra.cut_off, vertebra.voxels, why)
        )
    return tuple(said)


def _name(index: int, names: Sequence[str]) -> str:
    return names[index] if index < len(names) else "none"


def _why(
    found: FoundColumn,
    posterior: LevelPosterior,
    level: str | None,
    probability: float,
    others: Sequence[tuple[str, float]],
) -> str:
    """Why a level is not certain, in words."""
    if level is None:
        return "beyond the levels that the model knows"
    could = ", ".join(f"{name} ({chance:.0%})" for name, chance in ((level, probability), *others))
    reasons = []
    if not found.seen.shows_end:
        reasons.append("the view shows neither end of the column")
    if posterior.one_more >= LIKELY:
        reasons.append(f"there may be one vertebra more than usual ({posterior.one_more:.0%})")
    if posterior.one_fewer >= LIKELY:
        reasons.append(f"there may be one fewer ({posterior.one_fewer:.0%})")
    if not reasons and float(np.max(found.seen.evidence)) < -0.5:
        reasons.append("the network is not sure of any level")
    return f"could be {could}" + (f": {'; '.join(reasons)}" if reasons else "")
