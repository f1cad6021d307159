"""Texts from a stranger that are shown to people, or become names: letters, and nothing that acts."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, which can drive a terminal; marks that turn the direction of what is read; halves of characters, which no
file takes."""
PLAIN = "text without control characters"
"""What is expected, for a message."""


def is_plain(text: str, *, lines: bool = False) -> bool:
    """Whether a text can be shown as it is; it may have several `lines`."""
    return not _ACTS.search(text.replace("\n", "").replace("\t", "") if lines else text)


def are_plain(texts: Iterable[str]) -> bool:
    """Whether all of them can be shown as they are, in a line."""
    return all(map(is_plain, texts))
