"""What is said of each vertebra: its level, how sure that is, and why it is not certain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autospine.inference.column import FoundVertebra, said_of
from autospine.inference.level_sequence import ColumnSeen, find_levels
from autospine.inference.vertebral_levels import FoundColumn, Vertebra
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.trust import LevelTrust, Threshold
from tests.cards import card_of

LABELS = (("L5", 1), ("L4", 2), ("L3", 3))
LEVELS = LevelsPlan((1, 2, 3), 0, 1.2, (0.98, 0.5))


def said(
    make_configuration: Callable[..., Configuration],
    chances: list[list[float]],
    beyond: tuple[float, float] = (0.0, 0.0),
    certain: float = 0.9,
) -> tuple[FoundVertebra, ...]:
    """Of vertebrae of which the network says these chances of L5, L4, L3 and none."""
    evidence = np.log(np.maximum(np.array(chances), 1e-3)) / len(chances)
    seen = ColumnSeen(evidence, np.ones(len(chances) - 1), beyond, LEVELS.ends_seen)
    vertebrae = tuple(
        Vertebra((place,), 100, (10.0 * place, 0.0, 0.0), 8, place == 1) for place in range(1, len(chances) + 1)
    )
    data = card_of(make_configuration(), labels=LABELS, levels=LEVELS).data
    trust = LevelTrust(Threshold(0.8, 0, 0, 0), Threshold(certain, 0, 0, 0))
    return said_of(FoundColumn(vertebrae, find_levels(seen), seen), data, trust)


def test_certain_levels_have_names_from_below(make_configuration: Callable[..., Configuration]) -> None:
    sure = [[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.97, 0.01]]
    found = said(make_configuration, sure)
    assert [(one.number, one.level, one.named, one.why) for one in found] == [
        (1, "L5", True, ""),
        (2, "L4", True, ""),
        (3, "L3", True, ""),
    ]
    assert [one.cut_off for one in found] == [True, False, False] and min(one.probability for one in found) > 0.9
    assert not any(one.named for one in said(make_configuration, sure, certain=0.9999))


def test_where_the_view_does_not_tell_it_is_said_why(make_configuration: Callable[..., Configuration]) -> None:
    lower, upper = said(make_configuration, [[0.5, 0.48, 0.01, 0.01], [0.01, 0.5, 0.48, 0.01]])
    assert not lower.named and not upper.named and {lower.level, *dict(lower.others)} == {"L5", "L4"}
    assert lower.why.startswith("could be L5 (") and "L4 (" in lower.why
    assert lower.why.endswith("the view shows neither end of the column")
    # there is room below, and nothing is found there: the first one is the last of the chain
    lower, _ = said(make_configuration, [[0.5, 0.48, 0.01, 0.01], [0.01, 0.5, 0.48, 0.01]], beyond=(2.0, 0.0))
    assert (lower.level, lower.named) == ("L5", True)


def test_a_vertebra_beyond_the_chain_has_no_level(make_configuration: Callable[..., Configuration]) -> None:
    sure = [[0.97, 0.01, 0.01, 0.01], [0.01, 0.97, 0.01, 0.01], [0.01, 0.01, 0.97, 0.01], [0.01, 0.01, 0.97, 0.01]]
    *_, last = said(make_configuration, sure)
    assert (last.number, last.level, last.named) == (4, None, False)
    assert last.why == "beyond the levels that the model knows"
