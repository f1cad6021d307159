"""How far a case is from others, by gauges: each kind of quantity together, or by the oddest of its kind.

Distances of different kinds are made alike by those of the cases that taught the gauges: 0 is the usual one, 1 that
which one case in ten exceeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from autospine.planning.document.evidence import LAYOUT
from autospine.planning.document.promise import Gauge
from autospine.planning.document.quantities import Quantities, Quantity

_NEAR = 0.2
"""Distance below which nearer says no more (ours)."""
_FARTHEST = 1e6
"""Scales from the centre, beyond which farther says no more (ours)."""


def scaled(gauge: Gauge, found: Mapping[str, Quantity]) -> npt.NDArray[np.float64]:
    """Its quantities in a case, from their centres in units of their scales; 0 for what cannot be told of the case."""
    values = np.array([found[name].value if name in found else math.nan for name in gauge.names])
    with np.errstate(over="ignore"):
        away = (values - np.array(gauge.centres)) / np.array(gauge.scales)
    return np.asarray(np.clip(np.nan_to_num(away), -_FARTHEST, _FARTHEST))


def odd_by(gauge: Gauge, found: Mapping[str, Quantity]) -> npt.NDArray[np.float64]:
    """How far off each quantity is, at least 0: to the side on which it is odd."""
    away = scaled(gauge, found)
    sides = [found[name].side if name in found else "both" for name in gauge.names]
    signed = [{"both": abs(one), "low": -one, "high": one}[side] for one, side in zip(away, sides, strict=True)]
    return np.asarray(np.maximum(signed, 0))


def distance(gauge: Gauge, found: Mapping[str, Quantity]) -> float:
    """Of a case from the others, at least 0: Mahalanobis' over the root of the number of quantities, or the oddest."""
    if not gauge.directions:
        return float(odd_by(gauge, found).max())
    if gauge.kind == "orientation":
        return max([0.0, *(gains(gauge, found)[axis] for axis in gauge.axes)])
    return _mahalanobis(gauge, found)


def _mahalanobis(gauge: Gauge, found: Mapping[str, Quantity]) -> float:
    away = scaled(gauge, found)
    along = np.array(gauge.directions) @ away
    squared = float(np.array(gauge.along) @ along**2) + gauge.across * max(0.0, float(away @ away - along @ along))
    return math.sqrt(max(0.0, squared) / len(away))


def gains(gauge: Gauge, found: Mapping[str, Quantity]) -> tuple[float, float, float]:
    """How much nearer to the others an image would be, were it flipped along each canonical axis, by its layout.

    Logarithm of the distance as it is over that of the flipped one: below 0 it is nearer as it is. As a ratio, what is
    far from the others either way gains little.
    """
    here, names = _mahalanobis(gauge, found), list(found)
    flipped = []
    for axis in range(3):
        places = np.flip(np.arange(len(names)).reshape(-1, LAYOUT, LAYOUT, LAYOUT), 1 + axis).ravel()
        turned = {name: found[names[place]] for name, place in zip(names, places, strict=True)}
        flipped.append(math.log((here + _NEAR) / (_mahalanobis(gauge, turned) + _NEAR)))
    return flipped[0], flipped[1], flipped[2]


def unusual(gauge: Gauge, found: Mapping[str, Quantity]) -> float:
    """How unusual the distance of a case is: 0 is the usual one, 1 that which one case in ten exceeds."""
    return (distance(gauge, found) - gauge.usual) / gauge.spread


def oddness(gauges: Sequence[Gauge], found: Quantities) -> float:
    """Of a case: that of the kind in which it is most unusual."""
    return max(unusual(gauge, found[gauge.kind]) for gauge in gauges)
