"""From which probability a level has a name: `levels.json` in a model folder, learnt from the validation of its folds.

Each fold's network names the vertebrae of cases that it has not seen, and of parts of them, as a narrow scan would show
them. How often a level of some probability was right says how far probabilities can be trusted: apart for views that go
on beyond an end of the column, from where levels can be counted, and for those that end within it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import write_json
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import Count, Part
from autospine.planning.document.versioned import read_versioned, versioned_table

TRUST, TRUST_SCHEMA = "levels.json", 2
ALLOWED = 0.01
"""Share of named levels that may be wrong."""
UNLEARNT = 0.9
"""From which probability a level has a name where nothing was learnt, and at the least where vertebrae are too few to
show that so few names are wrong."""
SUREST = 0.999
"""The highest probability that is asked for, where levels are wrong at any that is lower."""
_STEPS = tuple(round(0.5 + 0.01 * step, 2) for step in range(46)) + (0.96, 0.97, 0.98, 0.985, 0.99, 0.995, SUREST)
_REMEDY = "copy the model again, or remove this file: levels have names from 0.9 on then"

Named = tuple[float, bool]
"""A vertebra of a case that the network had not seen: the probability of its level, and whether that was right."""


@dataclass(frozen=True)
class Threshold:
    """From which probability levels have a name in views of one kind."""

    certain: Part
    known: Count
    """Vertebrae that taught it."""
    named: Count
    """How many of them have a name."""
    wrong: Count
    """How many names are wrong."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self):
            pass

    @staticmethod
    def learn(held: Sequence[Named]) -> Threshold:
        """The lowest probability from which so few names are wrong as may be.

        Of few vertebrae none of which is wrong nobody knows that one in a hundred is not: half a wrong one is added
        (Jeffreys' prior). Where vertebrae are too few to show it, were all of them right, a name needs `UNLEARNT`, and
        that none from there on was wrong; without any it needs that alone. What is wrong at any probability, such as a
        patient in whom the network takes each level for the next, no threshold keeps from a name: that is left out of
        account, and stands in `wrong`.
        """
        hopeless = sum(not right for _, right in _named(held, SUREST))
        steps = (step for step in _STEPS if _is_rare(held, step, hopeless))
        certain = next(steps, SUREST) if held else UNLEARNT
        named = _named(held, certain)
        return Threshold(certain, len(held), len(named), sum(not right for _, right in named))


@dataclass(frozen=True)
class LevelTrust:
    """How far the probabilities of levels can be trusted."""

    ends: Threshold
    """In views that go on beyond an end of the column."""
    within: Threshold
    """In those that end within it."""

    def certain(self, *, shows_end: bool) -> float:
        """From which probability a level has a name."""
        return self.ends.certain if shows_end else self.within.certain

    @staticmethod
    def strictest(every: Iterable[LevelTrust]) -> LevelTrust:
        """What all of these allow together."""
        held = list(every)
        return LevelTrust(
            *(max((getattr(one, kind) for one in held), key=lambda one: one.certain) for kind in ("ends", "within"))
        )


NOTHING_LEARNT = LevelTrust(Threshold(UNLEARNT, 0, 0, 0), Threshold(UNLEARNT, 0, 0, 0))


def _named(held: Sequence[Named], certain: float) -> list[Named]:
    return [one for one in held if one[0] >= certain]


def _is_rare(held: Sequence[Named], certain: float, hopeless: int) -> bool:
    named = _named(held, certain)
    wrong = sum(not right for _, right in named) - hopeless
    if len(named) > hopeless and (wrong + 0.5) / (len(named) + 1) <= ALLOWED:
        return True
    too_few = 0.5 / (len(held) + 1) > ALLOWED
    return too_few and certain >= UNLEARNT and len(named) > hopeless and not wrong


def trust_table(trust: LevelTrust) -> dict[str, object]:
    """The content of `levels.json`."""
    return versioned_table(TRUST_SCHEMA, trust)


def write_trust(folder: Path, trust: LevelTrust) -> None:
    """Write `levels.json` in a model folder."""
    write_json(folder / TRUST, trust_table(trust))


def read_trust(folder: Path) -> LevelTrust | None:
    """How far the levels of the model in a folder can be trusted; None where nothing was learnt.

    Raises:
        PlanError: the file is there and is not one that autospine writes.
    """
    path = folder / TRUST
    return read_versioned(LevelTrust, path, TRUST_SCHEMA, _REMEDY) if path.exists() else None
