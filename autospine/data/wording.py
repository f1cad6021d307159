"""How messages name several things, count one, and repeat what a library says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence


def listed(names: Collection[str]) -> str:
    """The first six names of the alphabet."""
    return shortened(sorted(names))


def shortened(names: Sequence[str]) -> str:
    """The first six names in their own order."""
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")


def told_first(said: Mapping[str, str], most: int) -> str:
    """The first `most` of these with what is said of each, and how many more there are."""
    told = "; ".join(f"{name} ({words})" for name, words in list(said.items())[:most])
    return told + (f"; and {len(said) - most} more" if len(said) > most else "")


def plural(count: int, thing: str) -> str:
    """`1 channel`, `2 channels`."""
    return f"{count} {thing}{'s' * (count != 1)}"


def said(fault: Exception) -> str:
    """What is wrong in the words of a library, in one line of at most 200 characters."""
    return " ".join(str(fault).split())[:200] or type(fault).__name__


def said_first(fault: Exception) -> str:
    """As `said`, of several lines the first."""
    return next(iter(str(fault).splitlines()), "")[:200] or type(fault).__name__
