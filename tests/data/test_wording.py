"""How messages list and count."""

from __future__ import annotations

from autospine.data.wording import listed, plural, said, said_first, shortened


def test_six_names_are_listed() -> None:
    assert listed({"b", "a"}) == "a, b"
    assert shortened(["b", "a"]) == "b, a"
    assert listed("gfedcba") == "a, b, c, d, e, f, ..."
    assert shortened("fedcba") == "f, e, d, c, b, a"


def test_one_thing_and_several() -> None:
    assert [plural(count, "channel") for count in (0, 1, 2)] == ["0 channels", "1 channel", "2 channels"]


def test_what_a_library_says_is_one_line() -> None:
    fault = ValueError("no such\n  header\nat all")
    assert (said(fault), said_first(fault)) == ("no such header at all", "no such")
    assert said(ValueError("x" * 300)) == "x" * 200
    assert said(EOFError()) == said_first(EOFError()) == "EOFError"
