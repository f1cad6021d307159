from __future__ import annotations

from autospine.planning.decide.decided import Decided, numbers, settle
from autospine.planning.document.data import PresencePlan


def test_a_part_has_the_reasons_of_its_keys() -> None:
    part = settle(PresencePlan, channels=Decided((1,), "one is missing"), dropout=Decided(0.25))
    assert part.value == PresencePlan((1,), 0.25)
    assert part.keyed == {"channels": "one is missing"}
    assert part.reasons("presence") == {"presence.channels": "one is missing"}
    whole = settle(dict, presence=part, name=Decided("2d"), batch=Decided(2, "two fit"))
    assert whole.value == {"presence": part.value, "name": "2d", "batch": 2}
    assert whole.reasons("2d") == {"2d.presence.channels": "one is missing", "2d.batch": "two fit"}


def test_what_has_nothing_to_say_has_no_reason() -> None:
    assert Decided(None).reasons("previous") == {} and Decided(None).keyed == {}
    assert Decided(2, "two fit").keyed == {}


def test_numbers_have_four_digits() -> None:
    assert numbers((1.41421, 2.0)) == "1.414 x 2"
    assert numbers(32) == "32"
