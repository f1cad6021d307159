"""`promise.json`: what a model promises of its segmentations, learnt from cases that its networks had not seen.

Of each structure a line that gives its Dice by the evidence of a case, and how far that was off, case by case: with
them a prediction says what Dice it keeps at least (`promised`). And gauges: what images and segmentations were like, so
that a prediction tells where something is off. A training writes it in the model folder (`workflow.steps.promise`); a
model without one predicts all the same.

No case is named here. What comes from a stranger is numbers and names alone, and checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from autospine.data.disk.files import write_json
from autospine.planning.document.convert import Checks
from autospine.planning.document.limits import Above0, AtLeast0, Count, Limit, Part
from autospine.planning.document.plain import PLAIN, are_plain
from autospine.planning.document.versioned import read_versioned, versioned_table

PROMISE = "promise.json"
PROMISE_SCHEMA = 1
Kind = Literal["size", "intensity", "layout", "orientation", "certainty", "anatomy"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FEATURES = ("expected Dice", "entropy", "odd volume", "cut off", "islands", "other structures")
"""Of a structure in a case, by which its Dice is foretold; a larger number never speaks for a smaller Dice."""
MOST_GAUGED = 5000
"""Quantities of a gauge (ours): a thousand structures have four each."""
_ROUNDED = 1e-3
"""By which the weights of a subject may miss 1: they are written with a few digits (ours)."""
_REMEDY = "copy the model again, ask who gave it, or remove this file: a model predicts without it"
_LARGEST = 1e50
"""No number of a promise is larger: what is computed of them stays a number, whoever wrote them (ours)."""
Places = Annotated[tuple[int, ...], Limit("numbers of at least 0", lambda values: min(values, default=0) >= 0)]
Numbers = Annotated[
    tuple[float, ...],
    Limit(f"numbers up to {_LARGEST:g}", lambda values: all(abs(one) <= _LARGEST for one in values)),
]
Rows = Annotated[
    tuple[tuple[float, ...], ...],
    Limit(f"lists of numbers to {_LARGEST:g}", lambda rows: all(abs(one) <= _LARGEST for row in rows for one in row)),
]
Temperature = Annotated[float, Limit("from 0.01 to 100", lambda value: 0.01 <= value <= 100)]


@dataclass(frozen=True)
class Bound:
    """What was learnt of a structure. Some cases were left out of each part of the learning, and are known by it.

    Dice are on a scale without ends (`quantities.on_scale`). Part k foretells `intercepts[k]` and its slopes times the
    features; case i was left out of part `left_out[i]`, and its Dice was `residuals[i]` above that.
    """

    structure: str
    """Name of the class or region."""
    subjects: Count
    """Who was imaged, of those in whom it was found."""
    best: Part
    """The highest Dice that was seen: no more is promised."""
    intercepts: Numbers
    """One a part."""
    volumes: Numbers
    """Logarithm of the usual volume in mm3, one a part."""
    left_out: Places
    """One a case."""
    residuals: Numbers
    """One a case."""
    weights: Numbers
    """One a case: those of a subject are 1 together."""

    def __post_init__(self) -> None:
        """Check that the lists belong together."""
        with Checks(self) as check:
            parts, cases = len(self.intercepts), len(self.left_out)
            check(are_plain([self.structure]), "structure", PLAIN, "control characters")
            check(len(self.volumes) == parts, "volumes", "one for each part", len(self.volumes))
            check(max(self.left_out, default=0) < max(parts, 1), "left_out", f"parts below {parts}")
            for name in ("residuals", "weights"):
                check(len(getattr(self, name)) == cases, name, "one for each case", len(getattr(self, name)))
            check(min(self.weights, default=1) > 0, "weights", "numbers above 0")
            if check(0 <= self.subjects <= cases, "subjects", f"at most {cases}, as there are cases"):
                together = math.isclose(sum(self.weights), self.subjects, rel_tol=_ROUNDED, abs_tol=_ROUNDED)
                check(together, "weights", f"1 for each of {self.subjects} subjects together", sum(self.weights))

    @property
    def cases(self) -> int:
        """In which it was found."""
        return len(self.left_out)


@dataclass(frozen=True)
class Gauge:
    """Quantities of one kind (`quantities`), as cases had them."""

    kind: Kind
    names: tuple[str, ...]
    """Of the quantities; all that follows has one entry each."""
    centres: Numbers
    scales: Numbers
    """A quantity is measured by its distance from the centre over its scale."""
    low: Numbers
    """The least that was seen, as it is shown to people."""
    high: Numbers
    """The most that was seen."""
    usual: AtLeast0
    """A case's distance (`gauging.distance`) in the median, each case measured by the others."""
    spread: Above0
    """How much farther one in ten is."""
    directions: Rows = ()
    """Of unit length, along which scaled quantities vary together most; none: they are not measured together, and the
    oddest counts."""
    along: Numbers = ()
    """One over the variance along each direction."""
    across: AtLeast0 = 0.0
    """One over the variance along all that is at right angles to them."""
    axes: Places = ()
    """Of orientation, the canonical axes along which images have one."""

    def __post_init__(self) -> None:
        """Check that the lists belong together."""
        with Checks(self) as check:
            count = len(self.names)
            check(0 < count <= MOST_GAUGED, "names", f"1 to {MOST_GAUGED} names", count)
            check(are_plain(self.names), "names", PLAIN, "control characters")
            for name in ("centres", "scales", "low", "high"):
                check(len(getattr(self, name)) == count, name, "one for each name", len(getattr(self, name)))
            check(min(self.scales, default=1) > 0, "scales", "numbers above 0")
            check(max(self.axes, default=0) < 3, "axes", "0, 1 or 2")
            turned = self.kind != "orientation" or bool(self.directions)
            check(turned, "directions", "some: an orientation is measured by all parts of an image together")
            check(all(len(one) == count for one in self.directions), "directions", "a number for each name")
            check(len(self.along) == len(self.directions), "along", "one for each direction", len(self.along))


@dataclass(frozen=True)
class Promise:
    """What was learnt from the cases that the folds of a model were validated on."""

    autospine: str
    """Version that learnt it."""
    confidence: Part
    """Share of the cases in which the Dice is at least what is promised."""
    temperature: Temperature
    """By which logits are divided for evidence, here as there."""
    folds: tuple[str, ...]
    """Names of the folds whose cases taught it."""
    cases: Count
    subjects: Count
    features: tuple[str, ...]
    """Those of the bounds, in their order."""
    slopes: Rows
    """One list a part: of each feature. None: there were too few cases to promise anything."""
    bounds: tuple[Bound, ...] = ()
    """Of the structures that were found in enough cases."""
    gauges: tuple[Gauge, ...] = ()
    """None where there were too few cases to say what is unusual."""
    threshold: AtLeast0 = 0.0
    """How odd a case is (`gauging.oddness`) that is flagged: more than this."""
    alarms: AtLeast0 = 1.0
    """Share of cases like those that are flagged all the same, at most."""

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        with Checks(self) as check:
            check(are_plain((self.autospine, *self.folds)), "folds", PLAIN, "control characters")
            check(0.5 <= self.confidence < 1, "confidence", "from 0.5 to below 1")
            check(self.features == FEATURES, "features", ", ".join(FEATURES))
            check(all(len(one) == len(self.features) for one in self.slopes), "slopes", "a number for each feature")
            parts = all(len(bound.intercepts) == len(self.slopes) > 0 for bound in self.bounds)
            check(parts, "bounds", f"an intercept for each of {len(self.slopes)} parts")
            for key, held in (("bounds", self.names), ("gauges", tuple(one.kind for one in self.gauges))):
                check(len(set(held)) == len(held), key, "each once", held)

    @property
    def names(self) -> tuple[str, ...]:
        """Structures of which something is promised."""
        return tuple(bound.structure for bound in self.bounds)

    def bound(self, structure: str) -> Bound | None:
        """That of a structure; None where nothing can be promised of it."""
        return next((bound for bound in self.bounds if bound.structure == structure), None)


def write_promise(folder: Path, promise: Promise) -> None:
    """Write `promise.json` in a model folder."""
    write_json(folder / PROMISE, promise_table(promise))


def promise_table(promise: Promise) -> dict[str, Any]:
    """The content of its file."""
    return versioned_table(PROMISE_SCHEMA, promise)


def read_promise(folder: Path) -> Promise | None:
    """What the model in a folder promises; None where it promises nothing.

    Raises:
        PlanError: the file is there and is not one that autospine writes.
    """
    path = folder / PROMISE
    return read_versioned(Promise, path, PROMISE_SCHEMA, _REMEDY) if path.exists() else None
