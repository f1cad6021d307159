"""Texts that can be shown as they are."""

from __future__ import annotations

import pytest

from autospine.planning.document.plain import are_plain, is_plain


@pytest.mark.parametrize("text", ["L5", "Wirbelkörper", "椎骨", "ébauche \u0301", "", "a b"])
def test_words_of_any_language(text: str) -> None:
    assert is_plain(text) and are_plain([text, text])


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\0b", "\x7f", "\x9b1m", "\ud800", "abc\u202egnp", "\u2066"])
def test_what_acts(text: str) -> None:
    assert not is_plain(text) and not are_plain(["a", text])


def test_lines_are_asked_for() -> None:
    assert is_plain("a\n\tb", lines=True) and not is_plain("a\rb", lines=True)
