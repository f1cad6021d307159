"""Times as people write them: `30m`, `2h`, `1h30m`, `90s`."""

from __future__ import annotations

import re

import typer

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([hms])")
LONGEST_S = 366 * 86400.0
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_duration(text: str) -> float:
    """Seconds of a duration; anything else is a usage error."""
    parts = _PART.findall(text.strip().lower())
    if not parts or _PART.sub("", text.strip().lower()).strip():
        raise typer.BadParameter(f"{text!r} is no duration: write it like 30m, 2h, 1h30m or 90s")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST_S:
        raise typer.BadParameter(f"{text!r}: a duration must be longer than nothing and at most a year")
    return seconds


def format_duration(seconds: float) -> str:
    """`1 h 05 min`, `12 min 30 s` or `8 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"
