"""Figures and comparisons in words: the one place that says how a number, a difference and a verdict read.

new against base: mean Dice +0.021 (95 % interval +0.012 to +0.030), p = 0.0078, 0.016 after Holm's correction,
8 subjects: better, beyond noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from autospine.evaluation.paired import LEVEL, Compared, Interval

_NAMES = {"dice": "Dice", "iou": "IoU", "surface_dice": "surface Dice", "hd95_mm": "HD95", "asd_mm": "ASD"}
_UNITS = ("_mm", "_mm3")
"""Ends of the names of distances and volumes, of which less is better."""
_NEAR_ONE = ("specificity", "accuracy")
"""Figures that differ in the fourth digit."""


def metric_name(metric: str) -> str:
    """What a figure is called in a sentence: `hd95_mm` -> `HD95`."""
    plain = metric.removesuffix("_mm3").removesuffix("_mm")
    return _NAMES.get(metric, plain.replace("_", " "))


def unit_of(metric: str) -> str:
    """The unit of a figure with a space before it: `hd95_mm` -> ` mm`; empty for a ratio."""
    return next((f" {end[1:]}" for end in _UNITS if metric.endswith(end)), "")


def more_is_better(metric: str) -> bool:
    """Whether a larger number is a better one."""
    return not metric.endswith(_UNITS)


def verdict(one: Compared, metric: str = "dice") -> str:
    """A sentence that says whether the difference is beyond noise."""
    found, name, unit = one.difference, f"{one.arm} against {one.reference}", unit_of(metric)
    if found.subjects == 0:
        return f"{name}: no subject to compare on."
    low, high = signed(found.low, metric), signed(found.high, metric)
    span = "" if math.isnan(found.low) else f" (95 % interval {low} to {high})"
    text = f"{name}: mean {metric_name(metric)} {signed(found.mean, metric)}{unit}{span}, "
    text += f"p = {p_value(one.p)}, {p_value(one.corrected)} after Holm's correction, {found.subjects} subjects: "
    if one.beyond_noise:
        return text + ("better" if (found.mean > 0) == more_is_better(metric) else "worse") + ", beyond noise."
    if one.least >= LEVEL:
        return text + f"too few to tell it from noise, the smallest corrected p they can give is {p_value(one.least)}."
    return text + "within noise."


def number(value: float, metric: str = "dice") -> str:
    """A figure with as many digits as mean anything; `-` for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:.{_digits(metric)}f}"


def signed(value: float, metric: str = "dice") -> str:
    """A difference with its sign; `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:+.{_digits(metric)}f}"


def mean_cell(found: Interval, metric: str = "dice") -> str:
    """A mean with its interval in brackets."""
    if math.isnan(found.low):
        return number(found.mean, metric)
    return f"{number(found.mean, metric)} ({number(found.low, metric)} to {number(found.high, metric)})"


def gain_cell(found: Interval, metric: str = "dice") -> str:
    """A difference with its interval in brackets; `-` without subjects."""
    if found.subjects == 0:
        return "-"
    span = "" if math.isnan(found.low) else f" ({signed(found.low, metric)} to {signed(found.high, metric)})"
    return signed(found.mean, metric) + span


def p_value(value: float) -> str:
    """A p with two digits; `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:.2g}" if value >= 0.001 else "under 0.001"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a table in Markdown; a bar in a cell does not end it."""
    head, *body = (
        f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in (columns, *rows)
    )
    return [head, "|---" * len(columns) + "|", *body]


def _digits(metric: str) -> int:
    if metric.endswith("_mm3"):
        return 0
    return 2 if metric.endswith("_mm") else 4 if metric in _NEAR_ONE else 3
