"""From which probability a level has a name: `levels.json` in a model folder, learnt from the validation of its folds.

Each fold's network names the vertebrae of cases that it has not seen, and of parts of them, as a narrow scan would show
them. How often a level of some probability was right says how far probabilities can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import write_json
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import Count, Part
from autospine.planning.document.versioned import read_versioned, versioned_table

TRUST, TRUST_SCHEMA = "levels.json", 1
ALLOWED = 0.01
"""Share of named levels that may be wrong, in narrow views."""
FEWEST = 50
"""Vertebrae without which nothing is learnt."""
UNLEARNT = 0.9
"""From which probability a level has a name where nothing was learnt."""
SUREST = 0.999
"""The highest probability that is asked for: where levels are wrong beyond it, none has a name."""
_STEPS = tuple(round(0.5 + 0.01 * step, 2) for step in range(46)) + (0.96, 0.97, 0.98, 0.985, 0.99, 0.995, SUREST)
_REMEDY = "copy the model again, or remove this file: levels have names from 0.9 on then"

Named = tuple[float, bool]
"""A vertebra of a case that the network had not seen: the probability of its level, and whether that was right."""


@dataclass(frozen=True)
class LevelTrust:
    """How far the probabilities of levels can be trusted."""

    certain: Part
    """Probability from which a level has a name."""
    whole: Count
    """Vertebrae in whole images that taught it, and how many of them have a name, and are wrong then."""
    whole_named: Count
    whole_wrong: Count
    narrow: Count
    """The same in narrow views."""
    narrow_named: Count
    narrow_wrong: Count

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self):
            pass

    @staticmethod
    def learn(whole: Sequence[Named], narrow: Sequence[Named]) -> LevelTrust | None:
        """The lowest probability from which so few names are wrong as may be; None of too few vertebrae.

        One more wrong one than was seen is reckoned with: of no mistake in twenty nobody knows that there is none in a
        hundred.
        """
        every = [*whole, *narrow]
        if len(every) < FEWEST:
            return None
        certain = next((step for step in _STEPS if _is_rare(every, step)), SUREST)
        counts = [
            number
            for held in (whole, narrow)
            for number in (len(held), len(_named(held, certain)), sum(not right for _, right in _named(held, certain)))
        ]
        return LevelTrust(certain, *counts)


def _named(held: Sequence[Named], certain: float) -> list[Named]:
    return [one for one in held if one[0] >= certain]


def _is_rare(held: Sequence[Named], certain: float) -> bool:
    named = _named(held, certain)
    return (sum(not right for _, right in named) + 1) / (len(named) + 1) <= ALLOWED


def write_trust(folder: Path, trust: LevelTrust) -> None:
    """Write `levels.json` in a model folder."""
    write_json(folder / TRUST, versioned_table(TRUST_SCHEMA, trust))


def read_trust(folder: Path) -> LevelTrust | None:
    """How far the levels of the model in a folder can be trusted; None where nothing was learnt.

    Raises:
        PlanError: the file is there and is not one that autospine writes.
    """
    path = folder / TRUST
    return read_versioned(LevelTrust, path, TRUST_SCHEMA, _REMEDY) if path.exists() else None
