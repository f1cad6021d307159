"""From which probability a level has a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.trust import SUREST, TRUST, LevelTrust, read_trust, write_trust


def test_the_lowest_probability_at_which_names_are_right() -> None:
    sure, doubtful = [(0.97, True)] * 200, [(0.6, True), (0.6, False)] * 10
    trust = LevelTrust.learn(sure, doubtful)
    assert trust is not None and 0.6 < trust.certain <= 0.62
    assert (trust.whole, trust.whole_named, trust.whole_wrong) == (200, 200, 0)
    assert (trust.narrow, trust.narrow_named, trust.narrow_wrong) == (20, 0, 0)


def test_of_no_mistake_in_few_nobody_knows_that_there_is_none_in_a_hundred() -> None:
    assert LevelTrust.learn([(0.9, True)] * 49, []) is None
    few = LevelTrust.learn([(0.9, True)] * 60, [])
    assert few is not None and few.certain == SUREST and few.whole_named == 0


def test_where_the_network_is_sure_and_wrong_nothing_has_a_name() -> None:
    trust = LevelTrust.learn([(0.9999, right) for right in (True, True, False)] * 60, [])
    assert trust is not None and trust.certain == SUREST and trust.whole_wrong == 60


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_trust(tmp_path) is None
    trust = LevelTrust(0.91, 10, 9, 0, 20, 12, 1)
    write_trust(tmp_path, trust)
    assert read_trust(tmp_path) == trust
    (tmp_path / TRUST).write_text('{"schema": 1, "certain": 2}')
    with pytest.raises(PlanError, match="certain"):
        read_trust(tmp_path)
