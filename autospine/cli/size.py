"""Sizes of memory as people write them: `8`, `24GB`, `11.5`, `80G`."""

from __future__ import annotations

import math
import re

import typer

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:gb?)?", re.IGNORECASE)


def parse_size(text: str) -> float:
    """Gigabytes (10^9 bytes) of a size; anything else, or less than one gigabyte, is a usage error."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no size of memory: write it in gigabytes, like 8GB, 24GB or 11.5")
    size = float(match.group(1))
    if not 1 <= size < math.inf:
        raise typer.BadParameter(f"{text!r}: a training needs at least 1 GB")
    return size


def format_size(gigabytes: float) -> str:
    """`7.6 GB`, or `0.04 GB` where it is little."""
    return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{gigabytes:.2g} GB"
