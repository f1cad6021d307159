"""What a promise says of a case: a bound of each structure's Dice, and what is odd about it.

**The bound** is that of CV+ (Barber et al. 2021, arXiv:1905.02928), to one side. Cases were left out of the learning in
turns; each says what the Dice here would be by what was learnt without it, were that off as it was of the case itself:

    case left out   foretold of it   was    off by     foretold here by that part     so here
        a               .90          .92     +.02               .85                     .87
        b               .93          .88     -.05               .84                     .79
        ...                                                           a tenth of them are below the bound

**Flags.** A case's quantities of each kind are compared with those of the cases that taught the promise: how far it is
from their centre, in units in which they usually are. The oddest kind counts, and one threshold is held to a share of
flags among cases like those (conformal, too). What is told of a case that is flagged is what was odd.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from autospine.planning.document.evidence import LAYOUT, PERCENTILES, Evidence, StructureEvidence
from autospine.planning.document.promise import FEATURES, Bound, Gauge, Kind, Promise

CLIPPED = 0.01
"""Dice and expected Dice are told from 0 and 1 down to this: the ends of a logit are nowhere (ours)."""
_LEAST_ENTROPY = 1e-3
_FARTHEST = 2.0
"""Logarithm of a volume over the usual one, beyond which more says no more (sevenfold, ours)."""
_MOST_ISLANDS = 3.0
"""The same of a number of islands (twenty)."""
_AXES = ("from bottom to top", "from front to back", "from right to left")
"""Canonical axes; slices of any plane have them."""


@dataclass(frozen=True)
class Flag:
    """Something that is off."""

    text: str
    structure: str | None = None
    """None: the case as a whole."""
    kind: Kind = "size"

    @property
    def described(self) -> str:
        """With the structure that it is about."""
        return self.text if self.structure is None else f"{self.structure}: {self.text}"


@dataclass(frozen=True)
class StructurePromise:
    """What is promised of a structure in a case."""

    structure: str
    promised_dice: float | None
    """That the Dice keeps at least; None: nothing is promised."""
    expected_dice: float | None
    """That the probabilities speak for; None where it was not found."""
    cases: int
    """Behind the bound; 0 where there is none."""
    why: str = ""
    """Why nothing is promised."""


@dataclass(frozen=True)
class Promised:
    """What is promised of a case, and what is off."""

    confidence: float
    """Share of cases in which a promise is kept."""
    structures: tuple[StructurePromise, ...]
    flags: tuple[Flag, ...] = ()
    """None: nothing is unusual."""
    oddness: float | None = None
    """Above `threshold` where it is flagged; None where nobody knows what is usual."""
    threshold: float | None = None

    def of(self, structure: str) -> StructurePromise:
        """What is promised of a structure; KeyError where the model has none of this name."""
        for one in self.structures:
            if one.structure == structure:
                return one
        raise KeyError(structure)


def promised(promise: Promise, evidence: Evidence) -> Promised:
    """What `promise` says of a case with this `evidence`."""
    structures = tuple(_structure(promise, evidence, name) for name in evidence.structures)
    if not promise.gauges:
        return Promised(promise.confidence, structures)
    found = quantities(evidence, foretold_of(promise, evidence))
    odd = oddness(promise.gauges, found)
    flags = tuple(_flags(promise, found)) if odd > promise.threshold else ()
    return Promised(promise.confidence, structures, flags, odd, promise.threshold)


def on_scale(dice: float) -> float:
    """A Dice from 0 to 1 as a logit, the ends a little inside."""
    part = CLIPPED + (1 - 2 * CLIPPED) * dice
    return math.log(part / (1 - part))


def off_scale(value: float) -> float:
    """The Dice of such a number, 0 to 1."""
    part = 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))
    return max(0.0, min(1.0, (part - CLIPPED) / (1 - 2 * CLIPPED)))


def features(evidence: Evidence, name: str, usual_volume: float) -> npt.NDArray[np.float64]:
    """`FEATURES` of a structure that was found, whose volume in mm3 usually has this logarithm."""
    own = evidence.structures[name]
    others = [one for other, one in evidence.structures.items() if one.found and other != name] or [own]
    odd_volume = min(_FARTHEST, abs(math.log(max(own.volume_mm3, 1e-9)) - usual_volume))
    found = (
        _expected(own),
        -math.log(max(own.entropy, _LEAST_ENTROPY)),
        -odd_volume,
        -own.edge,
        -min(_MOST_ISLANDS, math.log(max(1, own.islands))),
        sum(map(_expected, others)) / len(others),
    )
    assert len(found) == len(FEATURES)
    return np.array(found)


def _expected(own: StructureEvidence) -> float:
    return on_scale(own.expected_dice or 0.0)


def foretell(bound: Bound, slopes: Sequence[Sequence[float]], evidence: Evidence) -> npt.NDArray[np.float64]:
    """What each part of the learning says of the Dice, on its scale."""
    said = [
        intercept + float(np.dot(own, features(evidence, bound.structure, volume)))
        for intercept, volume, own in zip(bound.intercepts, bound.volumes, slopes, strict=True)
    ]
    return np.array(said)


def lower_bound(bound: Bound, foretold: npt.NDArray[np.float64], confidence: float) -> float | None:
    """The Dice that is kept with this `confidence`, where the parts have `foretold` these; None: there are too few.

    Of n subjects with a case each it is the k-th lowest of what the cases say, k being (1 - confidence) (n + 1) rounded
    down. Where a subject has several, they weigh as one (Dunn 2022, arXiv:1809.07441), and the case here as a subject.
    """
    said = foretold[list(bound.left_out)] + np.array(bound.residuals)
    order = np.argsort(said, kind="stable")
    weights = np.array(bound.weights)[order]
    below = np.cumsum(weights) - weights
    allowed = np.flatnonzero(below + 1 <= (1 - confidence) * (bound.subjects + 1) + 1e-9)
    if not len(allowed):
        return None
    return min(bound.best, off_scale(float(said[order[allowed[-1]]])))


def _structure(promise: Promise, evidence: Evidence, name: str) -> StructurePromise:
    own = evidence.structures[name]
    expected = own.expected_dice if own.found else None
    if not own.found:
        return StructurePromise(name, None, expected, 0, "not found")
    bound = promise.bound(name)
    if bound is None:
        return StructurePromise(name, None, expected, 0, "too few cases in which it was found")
    dice = lower_bound(bound, foretell(bound, promise.slopes, evidence), promise.confidence)
    if dice is None:
        return StructurePromise(name, None, expected, 0, "too few subjects in whom it was found")
    return StructurePromise(name, dice, expected, bound.cases)


def foretold_of(promise: Promise, evidence: Evidence) -> dict[str, float]:
    """The Dice that is foretold, in the middle of the parts, of each structure that was found; on its scale."""
    return {
        bound.structure: float(np.median(foretell(bound, promise.slopes, evidence)))
        for bound in promise.bounds
        if bound.structure in evidence.structures and evidence.structures[bound.structure].found
    }


@dataclass(frozen=True)
class Quantity:
    """Something about a case that can be unusual."""

    value: float
    """On a scale on which differences mean the same everywhere; NaN: not to be told of this case."""
    shown: float
    """As people want to know it."""
    said: str
    """What it is called, after the structure."""
    structure: str | None = None
    side: Literal["both", "low", "high"] = "both"
    """On which side it is odd, where the oddest alone counts."""
    floor: float = 0.1
    """The least scale: differences below it are no matter of concern (ours)."""


Quantities = Mapping[Kind, Mapping[str, Quantity]]


def quantities(evidence: Evidence, foretold: Mapping[str, float]) -> Quantities:
    """All of a case, by kind and name; `foretold` is the Dice of structures, on its scale."""
    return {
        "size": dict(_sizes(evidence)),
        "intensity": dict(_intensities(evidence)),
        "layout": dict(_layouts(evidence)),
        "orientation": dict(_layouts(evidence)),
        "certainty": dict(_certainties(evidence, foretold)),
        "anatomy": dict(_anatomy(evidence)),
    }


def _sizes(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for said, along in (("voxel size", evidence.spacing_mm), ("image", evidence.size_mm)):
        for place, value in zip(_AXES, along, strict=True):
            name = f"{said} {place}, mm"
            yield name, Quantity(math.log(max(value, 1e-6)), value, name, floor=0.15)


def _intensities(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for number, channel in enumerate(evidence.channels, 1):
        of = f" of channel {number}" if len(evidence.channels) > 1 else ""
        if channel is None:
            continue
        values = {
            f"percentile {percent}{of}": one for percent, one in zip(PERCENTILES, channel.percentiles, strict=True)
        }
        values |= {f"contrast of neighbours, axis {axis}{of}": one for axis, one in enumerate(channel.gradient)}
        for name, value in values.items():
            yield name, Quantity(value, value, name, floor=0.03)
        noise = math.log(max(channel.noise, 1e-4))
        yield f"noise{of}", Quantity(noise, channel.noise, f"noise{of}", floor=0.1)
        yield f"dark part{of}", Quantity(channel.background, channel.background, f"dark part{of}", floor=0.03)


def _layouts(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for number, channel in enumerate(evidence.channels, 1):
        for place, value in enumerate(() if channel is None else channel.layout, 1):
            name = f"part {place} of channel {number}"
            yield name, Quantity(value, value, name, floor=0.05)


def _certainties(evidence: Evidence, foretold: Mapping[str, float]) -> Iterator[tuple[str, Quantity]]:
    for name, own in evidence.structures.items():
        known = own.found
        expected = own.expected_dice or 0.0
        at = _expected(own) if known else math.nan
        yield f"{name}: expected", Quantity(at, expected, "expected Dice", name, "low", 0.15)
        entropy = math.log(max(own.entropy, _LEAST_ENTROPY)) if known else math.nan
        yield f"{name}: entropy", Quantity(entropy, own.entropy, "entropy", name, "high", 0.15)
        dice = foretold.get(name, math.nan)
        shown = math.nan if math.isnan(dice) else off_scale(dice)
        yield f"{name}: foretold", Quantity(dice, shown, "foretold Dice", name, "low", 0.15)
        apart = own.disagreement if known and evidence.networks == 1 else None
        value = math.nan if apart is None else math.log(apart + 1e-3)
        shown = math.nan if apart is None else apart
        yield f"{name}: disagreement", Quantity(value, shown, "disagreement of mirrorings", name, "high", 0.15)


def _anatomy(evidence: Evidence) -> Iterator[tuple[str, Quantity]]:
    for name, own in evidence.structures.items():
        volume = math.log(max(own.volume_mm3, 1e-9)) if own.found else math.nan
        yield f"{name}: found", Quantity(float(own.found), float(own.found), "found", name, floor=0.1)
        yield f"{name}: volume", Quantity(volume, own.volume_mm3, "volume, mm3", name, floor=0.1)
        pieces = math.log(own.islands) if own.found else math.nan
        yield f"{name}: islands", Quantity(pieces, own.islands, "islands", name, "high", 0.3)
        edge = own.edge if own.found else math.nan
        yield f"{name}: edge", Quantity(edge, own.edge, "part at the edge of the image", name, "high", 0.02)
    for said, count in (
        ("levels missing between others", evidence.levels_missing),
        ("levels in the wrong order", evidence.levels_misplaced),
        ("levels that are there twice", evidence.levels_doubled),
        ("pairs with left and right swapped", evidence.sides_swapped),
    ):
        yield said, Quantity(float(count), float(count), said, None, "high", 0.15)


def scaled(gauge: Gauge, found: Mapping[str, Quantity]) -> npt.NDArray[np.float64]:
    """Its quantities in a case, from their centres in units of their scales; 0 for what cannot be told of the case."""
    values = np.array([found[name].value if name in found else math.nan for name in gauge.names])
    away: npt.NDArray[np.float64] = (values - np.array(gauge.centres)) / np.array(gauge.scales)
    return np.asarray(np.nan_to_num(away, posinf=1e6, neginf=-1e6))


def _counting(gauge: Gauge, found: Mapping[str, Quantity]) -> npt.NDArray[np.float64]:
    """How far off each quantity is, at least 0: to the side on which it is odd."""
    away = scaled(gauge, found)
    sides = [found[name].side if name in found else "both" for name in gauge.names]
    signed = [{"both": abs(one), "low": -one, "high": one}[side] for one, side in zip(away, sides, strict=True)]
    return np.asarray(np.maximum(signed, 0))


def distance(gauge: Gauge, found: Mapping[str, Quantity]) -> float:
    """Of a case from the others, at least 0: Mahalanobis' over the root of the number of quantities, or the oddest."""
    if not gauge.precision:
        return float(_counting(gauge, found).max())
    if gauge.kind == "orientation":
        return max(0.0, *gains(gauge, found))
    return _mahalanobis(gauge, found)


def _mahalanobis(gauge: Gauge, found: Mapping[str, Quantity]) -> float:
    away = scaled(gauge, found)
    return math.sqrt(max(0.0, float(away @ np.array(gauge.precision) @ away)) / len(away))


def gains(gauge: Gauge, found: Mapping[str, Quantity]) -> tuple[float, float, float]:
    """How much nearer to the others an image would be, were it flipped along each canonical axis, by its layout."""
    here, names = _mahalanobis(gauge, found), list(found)
    flipped = []
    for axis in range(3):
        places = np.flip(np.arange(len(names)).reshape(-1, LAYOUT, LAYOUT, LAYOUT), 1 + axis).ravel()
        turned = {name: found[names[place]] for name, place in zip(names, places, strict=True)}
        flipped.append(here - _mahalanobis(gauge, turned))
    return flipped[0], flipped[1], flipped[2]


def unusual(gauge: Gauge, found: Mapping[str, Quantity]) -> float:
    """How unusual the distance of a case is: 0 is the usual one, 1 that which one case in ten exceeds."""
    return (distance(gauge, found) - gauge.usual) / gauge.spread


def oddness(gauges: Sequence[Gauge], found: Quantities) -> float:
    """Of a case: that of the kind in which it is most unusual."""
    return max(unusual(gauge, found[gauge.kind]) for gauge in gauges)


_WHOLE: Mapping[Kind, str] = {
    "intensity": "intensities unlike those of the training",
    "layout": "bright and dark lie elsewhere than in the training (cropped, another part of the body?)",
    "orientation": "it would look more like the training",
}
_MOST_TOLD = 2
"""Of what is odd of a kind in a structure or in a case (ours)."""


def _flags(promise: Promise, found: Quantities) -> Iterator[Flag]:
    """What is off about a flagged case: of each kind that is more unusual than the threshold, the oddest kind first."""
    for gauge in sorted(promise.gauges, key=lambda gauge: -unusual(gauge, found[gauge.kind])):
        own = found[gauge.kind]
        if unusual(gauge, own) <= promise.threshold:
            continue
        if gauge.kind in _WHOLE:
            yield Flag(_described(gauge, own), None, gauge.kind)
            continue
        yield from _oddest(gauge, own, promise.threshold)


def _described(gauge: Gauge, own: Mapping[str, Quantity]) -> str:
    """The words for a kind that is measured as a whole, with what is farthest off."""
    text = _WHOLE[gauge.kind]
    if gauge.kind == "layout":
        return text
    if gauge.kind == "orientation":
        return f"{text} flipped {_AXES[int(np.argmax(gains(gauge, own)))]}"
    name = gauge.names[int(np.abs(scaled(gauge, own)).argmax())]
    return f"{text}: {_compared(gauge, name, own[name])}" if name in own else text


def _oddest(gauge: Gauge, own: Mapping[str, Quantity], threshold: float) -> Iterator[Flag]:
    """A flag for each quantity that would be one by itself; of a structure the oddest ones."""
    away = _counting(gauge, own)
    least = gauge.usual + gauge.spread * threshold
    told: dict[str | None, int] = {}
    for place in np.argsort(-away, kind="stable"):
        name = gauge.names[int(place)]
        if away[place] <= least or name not in own:
            break
        quantity = own[name]
        told[quantity.structure] = told.get(quantity.structure, 0) + 1
        if told[quantity.structure] <= _MOST_TOLD:
            yield Flag(_compared(gauge, name, quantity), quantity.structure, gauge.kind)


def _compared(gauge: Gauge, name: str, quantity: Quantity) -> str:
    """`voxel size from bottom to top, mm: 9, and 1 to 1.2 in training`."""
    place = gauge.names.index(name)
    low, high = gauge.low[place], gauge.high[place]
    if quantity.said == "found":
        return "not found, and there in the training" if not quantity.value else "found, and not there in the training"
    seen = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
    return f"{quantity.said} {quantity.shown:.3g}, and {seen} in training"
