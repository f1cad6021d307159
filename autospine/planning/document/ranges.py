"""Ranges of the choices that a recipe makes and a plan takes over: both refuse the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Holds = Callable[[Any], bool]


def _between(low: float, high: float) -> Holds:
    return lambda value: bool(low <= value <= high)


def _each(low: float, high: float) -> Holds:
    return lambda values: all(low <= value <= high for value in values)


_KINDS: tuple[tuple[str, Holds, tuple[str, ...]], ...] = (
    ("above 0", lambda value: value > 0, ("learning_rate", "clip_norm")),
    ("at least 0", lambda value: value >= 0, ("weight_decay", "poly_power", "rotation_deg", "smooth", "steps", "std")),
    ("at least 1", lambda value: value >= 1, ("weight_cap", "size_ratio", "anisotropy_threshold")),
    (
        "from 0 to below 1",
        lambda value: 0 <= value < 1,
        ("momentum", "warmup", "overlap", "channel_dropout", "dropout"),
    ),
    ("from 0 to 1", _between(0, 1), ("alpha", "oversample_foreground", "foreground_jitter")),
    ("from 0 to 0.5", _between(0, 0.5), ("shift",)),
    ("above 0, at most 1", lambda value: 0 < value <= 1, ("dataset_fraction",)),
    ("two zooms above 0, the smaller first", lambda value: 0 < value[0] <= value[1], ("scale_range",)),
    # beyond these a number is a slip of the pen, which would ask for all memory or time (our own limits)
    ("above 0, at most 1000000000", lambda value: 0 < value <= 10**9, ("budget_s", "seconds_per_step")),
    ("from 0 to 4294967295", _between(0, 2**32 - 1), ("seed",)),
    ("from 0 to 1000000", _between(0, 10**6), ("validation_steps",)),
    ("from 1 to 1000000", _between(1, 10**6), ("epochs",)),
    ("from 1 to 1000000000", _between(1, 10**9), ("steps_per_epoch",)),
    ("from 1 to 10000", _between(1, 10**4), ("batch",)),
    ("from 1 to 8192", _between(1, 8192), ("base_features", "max_features_2d", "max_features_3d")),
    ("from 1 to 8192 each", _each(1, 8192), ("features", "patch")),
    ("from 1 to 1000000 each", _each(1, 10**6), ("median_shape",)),
    ("from 1 to 64", _between(1, 64), ("convs_decoder", "decoder_convs")),
    ("from 1 to 64 each", _each(1, 64), ("blocks", "encoder_blocks")),
    ("from 0.01 to 1000 mm", _each(0.01, 1000), ("spacing_mm",)),
    # what voxels are made of: a larger number would turn all of an image into infinity
    ("a number that float32 holds", _between(-3.4e38, 3.4e38), ("mean", "percentile_00_5", "percentile_99_5")),
)
"""(what is expected, whether a value is that, names of the choices)."""
RANGES: Mapping[str, tuple[str, Holds]] = {
    name: (expected, holds) for expected, holds, names in _KINDS for name in names
}
"""By the name of the choice, which is the same in recipes and plans."""


def beyond_ranges(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """(name, value, what is expected) of each value beyond its range.

    Values without a range are passed over, and so are None and words, which stand for no number.
    """
    for name, value in values.items():
        if name in RANGES and value is not None and not isinstance(value, str):
            expected, holds = RANGES[name]
            if not holds(value):
                yield name, value, expected
