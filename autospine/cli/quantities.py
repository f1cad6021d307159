"""Times, sizes, shares and folds as people write them: `30m`, `1h30m`, `90s`; `8`, `24GB`, `11.5`; `2/8`; `0,1`."""

from __future__ import annotations

import math
import re

import typer

from autospine.machine.ranks import Share

_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([hms])")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_LONGEST_S = 366 * 86400.0
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gb?)?", re.IGNORECASE)
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*(kb|mb|gb)", re.IGNORECASE)
_LENGTH = re.compile(r"(\d{1,6}(?:\.\d+)?)\s*(?:mm)?", re.IGNORECASE)
_UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9}
_MOST_BYTES = 1e15


def parse_duration(text: str) -> float:
    """Seconds of a duration; anything else is a usage error."""
    written = text.strip().lower()
    parts = _PART.findall(written)
    if not parts or _PART.sub("", written).strip():
        raise typer.BadParameter(f"{text!r} is no duration: write it like 30m, 2h, 1h30m or 90s")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 < seconds <= _LONGEST_S:
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


def parse_size(text: str) -> float:
    """Gigabytes (10^9 bytes) of a size; anything else, or less than one gigabyte, is a usage error."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size of memory: write it in gigabytes, like 8GB, 24GB or 11.5")
    size = float(match.group(1))
    if not 1 <= size < math.inf:
        raise typer.BadParameter(f"{text!r}: less than 1 GB is too little")
    return size


def parse_millimetres(text: str | float) -> float:
    """Millimetres of a length such as `1`, `0.5` or `2mm`; anything else, or a negative one, is a usage error."""
    match = _LENGTH.fullmatch(str(text).strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no length: write it in millimetres, like 1, 0.5 or 2mm")
    return float(match.group(1))


def parse_bytes(text: str) -> int:
    """Bytes of a size such as `500MB` or `2GB` (10^6 and 10^9); anything else is a usage error."""
    match = _BYTES.fullmatch(text.strip())
    size = float(match.group(1)) * _UNITS[match.group(2).lower()] if match else 0.0
    if not 1 <= size < _MOST_BYTES:
        raise typer.BadParameter(f"{text!r} is no size of a file: write it like 500MB or 2GB")
    return int(size)


def format_size(gigabytes: float) -> str:
    """`7.6 GB`, or `0.04 GB` where it is little."""
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{gigabytes:.2g} GB"


def parse_share(text: str) -> Share:
    """The share that is written like `2/8`; anything else is a usage error."""
    try:
        return Share.parse(text)
    except ValueError as fault:
        raise typer.BadParameter(str(fault)) from fault


def parse_folds(text: str) -> tuple[int, ...] | None:
    """The folds that are written like `0,1`, or None for `all`; anything else is a usage error."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if parts == ["all"]:
        return None
    if not parts or not all(part.isdecimal() for part in parts):
        raise typer.BadParameter(f"--folds {text}: give numbers such as 0,1,2, or all")
    return tuple(map(int, parts))


def named_folds(text: str) -> tuple[str, ...] | None:
    """`parse_folds`, as a model's folds are called; or `full` alone."""
    from autospine.data.folds import FULL

    if text.strip() == FULL:
        return (FULL,)
    folds = parse_folds(text)
    return None if folds is None else tuple(map(str, folds))
