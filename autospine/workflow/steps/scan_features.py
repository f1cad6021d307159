"""A scan as numbers that tell it from others, out of the evidence of its prediction (`inference.evidence`).

The groups are what a reader can be told a scan differs in. How sure a prediction was is no feature: scans are to be
compared with annotated ones, which were predicted by other networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autospine.evaluation.informative import Floats

GROUPS = {
    "intensities": ("percentiles", "background"),
    "texture": ("gradient", "noise"),
    "layout": ("layout",),
}
"""What a scan may differ in -> keys of a channel's evidence."""
SIZE, STRUCTURES = "size", "structures"
FLAWS = ("levels_missing", "levels_misplaced", "levels_doubled", "sides_swapped")
"""Keys of a case's evidence that count what no anatomy has."""


def features_of(evidence: Sequence[Mapping[str, Any]], channels: int, names: Sequence[str]) -> dict[str, Floats]:
    """Groups of features (N, F) of N cases; NaN for what is not known of one.

    Args:
        evidence: of each case, as it lies in JSON.
        channels: that a case may have.
        names: of the structures.
    """
    rows: dict[str, list[list[float]]] = {name: [] for name in (*GROUPS, SIZE, STRUCTURES)}
    for case in evidence:
        held = case.get("channels")
        seen = [*held, *[None] * channels][:channels] if isinstance(held, list | tuple) else [None] * channels
        for name, keys in GROUPS.items():
            rows[name].append([number for channel in seen for key in keys for number in _numbers(channel, key)])
        sizes = [*_numbers(case, "size_mm"), *_numbers(case, "spacing_mm")]
        rows[SIZE].append([math.log(one) if one > 0 else math.nan for one in sizes])
        rows[STRUCTURES].append([_log_volume(structure_of(case, name)) for name in names])
    return {name: _table(held) for name, held in rows.items()}


def structure_of(case: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The evidence of a structure; empty where there is none."""
    held = case.get("structures")
    found = held.get(name) if isinstance(held, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def number_of(table: Mapping[str, Any], key: str) -> float:
    """A number of a table, NaN where it is none."""
    value = table.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _numbers(table: object, key: str) -> list[float]:
    """The number, or the numbers, at a key; none where there is no table."""
    value = table.get(key) if isinstance(table, Mapping) else None
    values = value if isinstance(value, list | tuple) else [value]
    return [float(one) for one in values if isinstance(one, int | float)]


def _log_volume(structure: Mapping[str, Any]) -> float:
    """The logarithm of one more than the volume in mm3: what is absent is 0, and far from any volume."""
    volume = number_of(structure, "volume_mm3")
    return math.nan if math.isnan(volume) else math.log1p(max(0.0, volume))


def _table(rows: Sequence[Sequence[float]]) -> Floats:
    """The rows as an array, filled up with NaN where a case lacks a channel."""
    width = max(map(len, rows), default=0)
    filled = [[*row, *[math.nan] * (width - len(row))] for row in rows]
    return np.array(filled, np.float64).reshape(len(rows), width)
