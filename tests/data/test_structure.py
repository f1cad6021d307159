from __future__ import annotations

import pytest

from autospine.data.structure import Reading, split_names


def test_a_reading_is_kept_as_it_was_typed() -> None:
    reading = Reading(subjects="(a)", allow_missing=True, channels=("T1", "T2"))
    kept = {"subjects": "(a)", "layout": None, "masks": None, "allow_missing": True, "channels": "T1,T2"}
    assert reading.to_json() == kept
    assert Reading.from_json({**kept, "recipe": "default"}) == reading
    assert Reading.from_json({}) == Reading() and Reading.from_json(Reading().to_json()) == Reading()


def test_what_is_no_reading_is_named() -> None:
    with pytest.raises(ValueError, match=r"allow_missing is 1, channels is \['T1'\]"):
        Reading.from_json({"allow_missing": 1, "channels": ["T1"]})


def test_names_between_commas() -> None:
    assert split_names("T1, T2 ,,") == ("T1", "T2") and split_names(" , ") == ()
