"""A scan as numbers that tell it from others, out of the evidence of its prediction.

The groups are what a reader can be told a scan differs in. How sure a prediction was is no feature: scans are to be
compared with annotated ones, which were predicted by other networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from autospine.evaluation.informative import Floats
from autospine.planning.document.evidence import LAYOUT, PERCENTILES, ChannelEvidence, Evidence

GROUPS = ("intensities", "texture", "layout", "size", "structures")
_WIDTHS = {"intensities": len(PERCENTILES) + 1, "texture": 4, "layout": LAYOUT**3}
"""Features of a channel in each group."""


def features_of(evidence: Sequence[Evidence], channels: int, names: Sequence[str]) -> dict[str, Floats]:
    """Groups of features (N, F) of N cases; NaN for those of a channel or structure that nothing is known of.

    Args:
        evidence: of each case.
        channels: that each case has, or lacks.
        names: of the structures.
    """
    rows: dict[str, list[list[float]]] = {name: [] for name in GROUPS}
    for case in evidence:
        seen = [*case.channels, *[None] * channels][:channels]
        for name, width in _WIDTHS.items():
            rows[name].append([one for channel in seen for one in _channel(channel, name, width)])
        rows["size"].append([_log(one) for one in (*case.size_mm, *case.spacing_mm)])
        held = [case.structures.get(name) for name in names]
        # the logarithm of one more than the volume: what is absent is 0, and far from any volume
        rows["structures"].append([math.nan if one is None else math.log1p(one.volume_mm3) for one in held])
    return {name: np.array(held, np.float64).reshape(len(evidence), -1) for name, held in rows.items()}


def uncertainty_signs(evidence: Sequence[Evidence], names: Sequence[str]) -> list[Floats]:
    """What speaks of uncertainty (N,), each higher the less sure; NaN where a case says nothing.

    The Dice that is not expected, entropy, disagreement, and levels or sides that no anatomy has where there are any.
    """
    structures = [[one for name in names if (one := case.structures.get(name)) is not None] for case in evidence]
    flawed = np.array([float(flaws(case)) for case in evidence])
    signs = [
        1 - np.array([expected_dice(case, names) for case in evidence]),
        np.array([_mean(one.entropy for one in held) for held in structures]),
        np.array([_mean(one.disagreement for one in held) for held in structures]),
    ]
    return [*signs, flawed] if flawed.any() else signs


def expected_dice(case: Evidence, names: Sequence[str]) -> float:
    """The Dice that the probabilities speak for: mean over the structures that were found; NaN where none was."""
    return _mean(case.structures[name].expected_dice for name in names if name in case.structures)


def flaws(case: Evidence) -> int:
    """Levels that are missing, misplaced or there twice, and pairs of structures on each other's side."""
    return case.levels_missing + case.levels_misplaced + case.levels_doubled + case.sides_swapped


def _channel(channel: ChannelEvidence | None, group: str, width: int) -> tuple[float, ...]:
    if channel is None:
        return (math.nan,) * width
    match group:
        case "intensities":
            return (*channel.percentiles, channel.background)
        case "texture":
            return (*channel.gradient, channel.noise)
        case _:
            return channel.layout


def _log(length_mm: float) -> float:
    return math.log(length_mm) if length_mm > 0 else math.nan


def _mean(values: Iterable[float | None]) -> float:
    """Mean of what is known; NaN of nothing."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
