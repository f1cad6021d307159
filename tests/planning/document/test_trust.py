"""From which probability a level has a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from autospine.errors import PlanError
from autospine.planning.document.trust import (
    NOTHING_LEARNT,
    SUREST,
    TRUST,
    UNLEARNT,
    LevelTrust,
    Threshold,
    read_trust,
    write_trust,
)


def test_the_lowest_probability_at_which_names_are_right() -> None:
    learnt = Threshold.learn([(0.97, True)] * 200 + [(0.6, True), (0.6, False)] * 10)
    assert 0.6 < learnt.certain <= 0.62 and (learnt.known, learnt.named, learnt.wrong) == (220, 200, 0)
    # one wrong one in 150 is one and a half in a hundred or less
    assert Threshold.learn([(0.8, True)] * 149 + [(0.8, False)]).certain == 0.5
    assert Threshold.learn([(0.8, True)] * 100 + [(0.8, False)]).certain == SUREST


def test_too_few_to_show_one_in_a_hundred_have_names_where_none_was_wrong() -> None:
    assert Threshold.learn([]) == Threshold(UNLEARNT, 0, 0, 0)
    right = Threshold.learn([(0.95, True)] * 30 + [(0.85, True)] * 10)
    assert right.certain == UNLEARNT and right.named == 30
    wrong = Threshold.learn([(0.98, True)] * 30 + [(0.95, False)] + [(0.85, True)] * 10)
    assert wrong.certain == 0.96 and wrong.wrong == 0


def test_wrong_names_are_no_reason_to_trust_what_is_surer() -> None:
    for held in ([(0.95, False)] * 200, [(0.6, False)] * 50, [(0.94, right) for right in (True, False)] * 500):
        learnt = Threshold.learn(held)
        assert learnt.certain == SUREST and learnt.named == 0


def test_what_is_wrong_at_any_probability_does_not_take_the_others_their_names() -> None:
    """A patient in whom the network is sure of wrong levels, beside thirty who are right."""
    held = [(0.9995, False)] * 5 + [(0.97, True)] * 150 + [(0.7, False)] * 4 + [(0.65, True)] * 10
    learnt = Threshold.learn(held)
    assert 0.7 < learnt.certain <= 0.72 and (learnt.named, learnt.wrong) == (155, 5)


def test_views_with_and_without_an_end_have_their_own_and_several_models_the_strictest() -> None:
    one = LevelTrust(Threshold(0.7, 200, 190, 0), Threshold(0.97, 300, 100, 1))
    assert (one.certain(shows_end=True), one.certain(shows_end=False)) == (0.7, 0.97)
    both = LevelTrust.strictest([one, NOTHING_LEARNT])
    assert both == LevelTrust(NOTHING_LEARNT.ends, one.within)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert read_trust(tmp_path) is None
    trust = LevelTrust(Threshold(0.91, 10, 9, 0), Threshold(0.98, 20, 12, 1))
    write_trust(tmp_path, trust)
    assert read_trust(tmp_path) == trust
    text = (tmp_path / TRUST).read_text().replace("0.91", "2")
    (tmp_path / TRUST).write_text(text)
    with pytest.raises(PlanError, match="certain"):
        read_trust(tmp_path)
