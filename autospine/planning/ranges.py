"""Ranges of the choices that a recipe makes and a plan takes over: both refuse the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from autospine.planning.convert import require


def _zooms(value: tuple[float, float]) -> bool:
    return 0 < value[0] <= value[1]


_KINDS: tuple[tuple[str, Callable[[Any], bool], tuple[str, ...]], ...] = (
    ("above 0", lambda value: value > 0, ("learning_rate", "clip_norm", "budget_s")),
    (
        "at least 0",
        lambda value: value >= 0,
        ("weight_decay", "poly_power", "validation_steps", "rotation_deg", "smooth", "seed"),
    ),
    ("at least 1", lambda value: value >= 1, ("epochs", "steps_per_epoch", "weight_cap")),
    ("from 0 to below 1", lambda value: 0 <= value < 1, ("momentum", "warmup", "overlap")),
    ("from 0 to 1", lambda value: 0 <= value <= 1, ("alpha", "oversample_foreground", "foreground_jitter")),
    ("two zooms above 0, the smaller first", _zooms, ("scale_range",)),
)
"""(what is expected, whether a value is that, names of the choices)."""
RANGES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    name: (expected, holds) for expected, holds, names in _KINDS for name in names
}
"""By the name of the choice, which is the same in recipes and plans."""


def check_ranges(part: Any, prefix: str = "") -> None:
    """Nothing; raises PlanError naming `prefix` and the first field of the dataclass `part` beyond its range.

    Fields without a range, and those that are None, are passed over.
    """
    for item in fields(part):
        value = getattr(part, item.name)
        if item.name in RANGES and value is not None:
            expected, holds = RANGES[item.name]
            require(holds(value), f"{prefix}{item.name}", value, expected)
