"""Two label maps of a case: all classes of both found in one pass, and each in the box that holds it.

Most of an image is background in both. What is not is looked at once: which values meet there, and how often, says all
overlaps of all classes and regions; only distances and components need the voxels of a class again, in its box.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autospine.data.box import box_around

BoolArray = npt.NDArray[np.bool_]
Value = int | tuple[int, ...]
"""What marks a class, or the values of the classes in a region."""
_BINNED = 1 << 16
"""Values from which on they are sorted, not counted into bins."""
_MOST_PAIRS = 1 << 22
"""Pairs of values that are counted into bins of their own: 32 MB of them."""


@dataclass(frozen=True)
class Counts:
    """Voxels of one class that are annotated."""

    both: int
    """In prediction and reference."""
    predicted: int
    expected: int
    """In the reference."""
    annotated: int
    """Of all classes and the background together."""


@dataclass(frozen=True)
class Meeting:
    """A value of the prediction and one of the reference in the same voxels; not both are 0."""

    predicted: int
    expected: int
    voxels: int


@dataclass(frozen=True)
class ClassMasks:
    """One class in the smallest box that holds it in both maps, or what was predicted against others."""

    predicted: BoolArray
    """Also where nothing is annotated."""
    expected: BoolArray
    unknown: BoolArray | None
    """What is not annotated; None where all is."""

    @property
    def judged(self) -> BoolArray:
        """What is predicted and annotated."""
        return self.predicted if self.unknown is None else self.predicted & ~self.unknown


class LabelPair:
    """A prediction with its reference."""

    def __init__(self, prediction: npt.NDArray[Any], reference: npt.NDArray[Any], ignored: int | None = None) -> None:
        """Find all values of both.

        Args:
            prediction: labels (Z, Y, X).
            reference: labels (Z, Y, X), the same shape.
            ignored: value in the reference of voxels that are not annotated; they count for nothing.

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != reference.shape:
            raise ValueError(f"prediction {prediction.shape} and reference {reference.shape} differ in shape")
        self.shape = reference.shape
        self._ignored = ignored
        either = (prediction != 0) | (reference != 0)
        box = box_around(either)
        inside = either[box]
        self._predicted = _Side(prediction[box][inside], inside)
        self._expected = _Side(reference[box][inside], inside)
        self.meetings = self._meetings()
        """Which values meet, and in how many voxels."""
        self._known = tuple(one for one in self.meetings if ignored is None or one.expected != ignored)
        self.annotated = reference.size - sum(one.voxels for one in self.meetings if one.expected == ignored)
        """Voxels of the whole maps that are annotated."""
        self._both, self._of_predicted, self._of_expected = (Counter[int]() for _ in range(3))
        for one in self._known:
            self._of_predicted[one.predicted] += one.voxels
            self._of_expected[one.expected] += one.voxels
            if one.predicted == one.expected:
                self._both[one.predicted] += one.voxels

    def _meetings(self) -> tuple[Meeting, ...]:
        mine, theirs = self._predicted, self._expected
        width = len(theirs.values)
        pairs = mine.places.astype(np.int64) * width + theirs.places
        if len(mine.values) * width <= _MOST_PAIRS:
            counted = np.bincount(pairs, minlength=1)
            found = np.flatnonzero(counted)
            voxels = counted[found]
        else:
            found, voxels = np.unique(pairs, return_counts=True)
        columns = (mine.values[found // width], theirs.values[found % width], voxels)
        return tuple(Meeting(*row) for row in zip(*(column.tolist() for column in columns), strict=True))

    @property
    def axes(self) -> tuple[int, ...]:
        """Those along which there is more than one voxel."""
        return tuple(axis for axis, size in enumerate(self.shape) if size > 1)

    def counts(self, label: Value) -> Counts:
        """Voxels of the class or region `label`."""
        if isinstance(label, int):
            return Counts(self._both[label], self._of_predicted[label], self._of_expected[label], self.annotated)
        values = _values(label)
        predicted = sum(self._of_predicted[value] for value in values)
        expected = sum(self._of_expected[value] for value in values)
        both = sum(one.voxels for one in self._known if one.predicted in values and one.expected in values)
        return Counts(both, predicted, expected, self.annotated)

    def masks(self, label: Value, against: Value | None = None) -> ClassMasks:
        """Where the class or region `label` is; of no size where it is nowhere.

        Or else where it is predicted, and what the reference has of `against` in the box around that.
        """
        mine, theirs = _values(label), _values(label if against is None else against)
        others = self._expected.boxes(theirs) if against is None else []
        box = _around([*self._predicted.boxes(mine), *others], len(self.shape))
        unknown = None if self._ignored is None else self._expected.mask((self._ignored,), box)
        return ClassMasks(self._predicted.mask(mine, box), self._expected.mask(theirs, box), unknown)


class _Side:
    """One of the two maps, in the box around what is not background in both."""

    def __init__(self, held: npt.NDArray[Any], inside: BoolArray) -> None:
        """The values `held` (n,) in the voxels `inside` of the box."""
        self.values, self.places = _numbered(held)
        self._inside = inside
        self._place = {value: place for place, value in enumerate(self.values.tolist()) if value != 0}
        # what is made where it is asked for; a cached_property of Python 3.11 would let one thread at a time make any
        self._volume: npt.NDArray[np.integer[Any]] | None = None
        self._found: list[tuple[slice, ...] | None] | None = None

    def boxes(self, values: Iterable[int]) -> list[tuple[slice, ...]]:
        """The boxes of those of the `values` that are there."""
        if self._found is None:
            self._found = ndimage.find_objects(self._places_there(), max(1, len(self.values) - 1))
        found = (self._found[place - 1] for place in self._places_of(values))
        return [box for box in found if box is not None]

    def mask(self, values: Iterable[int], box: tuple[slice, ...]) -> BoolArray:
        """Where the `values` are in a `box`."""
        places, part = self._places_of(values), self._places_there()[box]
        if len(places) == 1:
            alone: BoolArray = part == places[0]
            return alone
        wanted = np.zeros(len(self.values), bool)
        wanted[places] = True
        several: BoolArray = wanted[part]
        return several

    def _places_of(self, values: Iterable[int]) -> list[int]:
        return [self._place[value] for value in values if value in self._place]

    def _places_there(self) -> npt.NDArray[np.integer[Any]]:
        """The place of each voxel's value in `values`."""
        if self._volume is None:
            self._volume = np.zeros(self._inside.shape, self.places.dtype)
            self._volume[self._inside] = self.places
        return self._volume


def _values(label: Value) -> frozenset[int]:
    return frozenset((label,) if isinstance(label, int) else label)


def _numbered(held: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.integer[Any]]]:
    """0 and the values in an array (n,), ascending, and the place of each element's value among them."""
    if held.size and not (0 <= int(held.min()) and int(held.max()) < _BINNED):
        values, places = np.unique(held, return_inverse=True)
        return np.append(0, values).astype(np.int64), places + 1
    present = np.bincount(held, minlength=1) > 0
    present[0] = True
    values = np.flatnonzero(present)
    table = np.zeros(len(present), np.min_scalar_type(len(values)))
    table[values] = np.arange(len(values))
    return values, table[held.astype(np.uint8) if held.dtype == bool else held]


def _around(boxes: list[tuple[slice, ...]], axes: int) -> tuple[slice, ...]:
    """The smallest box around `boxes`; of no size without any."""
    if not boxes:
        return (slice(0, 0),) * axes
    sides = list(zip(*boxes, strict=True))
    return tuple(slice(min(one.start for one in side), max(one.stop for one in side)) for side in sides)
