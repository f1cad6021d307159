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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autospine.planning.document.evidence import Evidence
from autospine.planning.document.gauging import gains, odd_by, oddness, scaled, unusual
from autospine.planning.document.promise import FEATURES, Bound, Gauge, Kind, Promise
from autospine.planning.document.quantities import (
    AXES,
    LEAST_ENTROPY,
    Quantities,
    Quantity,
    expected_on_scale,
    off_scale,
    quantities,
)

_FARTHEST = 2.0
"""Logarithm of a volume over the usual one, beyond which more says no more (sevenfold, ours)."""
_MOST_ISLANDS = 3.0
"""The same of a number of islands (twenty)."""


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
    """That the probabilities speak for; None where it was not found, or was removed."""
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


def promised(promise: Promise, evidence: Evidence, removed: Collection[str] = ()) -> Promised:
    """What `promise` says of a case with this `evidence`, of which structures may be `removed` after the network."""
    structures = tuple(
        StructurePromise(name, None, None, 0, "removed after the network")
        if name in removed and own.found
        else _structure(promise, evidence, name)
        for name, own in evidence.structures.items()
    )
    if not promise.gauges:
        return Promised(promise.confidence, structures)
    found = quantities(evidence, foretold_of(promise, evidence))
    odd = oddness(promise.gauges, found)
    flags = tuple(_flags(promise, found)) if odd > promise.threshold else ()
    return Promised(promise.confidence, structures, flags, odd, promise.threshold)


def features(evidence: Evidence, name: str, usual_volume: float) -> npt.NDArray[np.float64]:
    """`FEATURES` of a structure that was found, whose volume in mm3 usually has this logarithm."""
    own = evidence.structures[name]
    others = [one for other, one in evidence.structures.items() if one.found and other != name] or [own]
    odd_volume = min(_FARTHEST, abs(math.log(max(own.volume_mm3, 1e-9)) - usual_volume))
    found = (
        expected_on_scale(own),
        -math.log(max(own.entropy, LEAST_ENTROPY)),
        -odd_volume,
        -own.edge,
        -min(_MOST_ISLANDS, math.log(max(1, own.islands))),
        sum(map(expected_on_scale, others)) / len(others),
    )
    assert len(found) == len(FEATURES)
    return np.array(found)


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
        gained = gains(gauge, own)
        return f"{text} flipped {AXES[max(gauge.axes, key=lambda axis: gained[axis])]}"
    name = gauge.names[int(np.abs(scaled(gauge, own)).argmax())]
    return f"{text}: {_compared(gauge, name, own[name])}" if name in own else text


def _oddest(gauge: Gauge, own: Mapping[str, Quantity], threshold: float) -> Iterator[Flag]:
    """A flag for each quantity that would be one by itself; of a structure the oddest ones."""
    away = odd_by(gauge, own)
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
