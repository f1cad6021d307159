from __future__ import annotations

import pytest
import typer

from autospine.cli.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), (" 1H 5 m", 3900), ("0.5h", 1800)]
)
def test_durations_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "5x", "5m and more", "0s", "400000h"])
def test_other_texts_are_usage_errors(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_duration(text)


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s"), (750, "12 min 30 s"), (3900, "1 h 05 min")])
def test_durations_are_shown_in_their_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
