"""Pairs of mask files, read and measured beside each other, with what their values mean.

Three things can say what a value is: a description beside the references, the names that masks give their structures,
and the values of the references. Whatever a prediction or a reference holds beside that counts as background, and is
told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from autospine.data.description import IGNORE, Declared
from autospine.data.geometry import Geometry, Volume
from autospine.data.masks.files import BACKGROUND, Mask, read_mask, values_by_name
from autospine.data.masks.placing import covering, onto_axes, place
from autospine.data.masks.values import counted_values
from autospine.data.volume import read_geometry, suffix_of
from autospine.errors import DataError
from autospine.evaluation.label_pair import LabelPair, Meeting
from autospine.evaluation.score import Labels, ScoredCase
from autospine.evaluation.side_by_side import Room, side_by_side
from autospine.evaluation.value_sets import Overlaps, first_of, likely_cause
from autospine.machine.cores import available_cores

R = TypeVar("R")
_VOXEL_BYTES = 64
"""Of a pair of masks under way, a voxel: both as numbers with a fraction, as whole numbers and as places, and the
distances of a structure that fills the image."""
_DECLARE = "say which value is which structure in a labels.json beside the references"
_LISTED = 4
"""Files that a message names."""
LaidPair = tuple[str, Geometry, npt.NDArray[np.integer[Any]], npt.NDArray[np.integer[Any]]]
"""Case, grid, prediction and reference (Z, Y, X) on it."""


@dataclass
class _Seen:
    """What was found in the files of one pair."""

    problems: list[str] = field(default_factory=list)
    """What keeps it from being scored."""
    rounded: list[Path] = field(default_factory=list)
    """Files with values that were rounded."""
    meetings: tuple[Meeting, ...] = ()
    """Which values meet in it; none where they were not compared."""


class MaskPairs:
    """Predictions with their references: their classes, and what is to be said of them."""

    def __init__(
        self,
        pairs: Sequence[tuple[str, Path, Path]],
        found: Declared | None,
        problems: list[str],
        progress: Callable[[str, int, int], None],
    ) -> None:
        """Find out what the values mean; where nothing says it, every reference is read for that.

        Args:
            pairs: (case, prediction, reference).
            found: what a description beside the references says.
            problems: where all that keeps a pair from being scored is added.
            progress: called with a case, the cases done and their total.
        """
        self._pairs, self._problems, self._progress = pairs, problems, progress
        self._named = False
        """Whether the names in the references alone say what is what."""
        self._values: dict[str, int] = {}
        """Values of structures by their names, for masks that name them."""
        self.ignored = None if found is None else found.ignore
        """Value of voxels that are not annotated."""
        self.labels: Labels
        """What is scored: all that is declared, named or found."""
        if found is None:
            self.labels = self._labels_found()
        else:
            self._values = dict(found.classes)
            self.labels = tuple((region.name, region.values) for region in found.regions) or found.classes
        if self.ignored is not None:
            self._values[IGNORE] = self.ignored
        self._known: set[int] = {0} if self.ignored is None else {0, self.ignored}
        for _, value in self.labels:
            self._known.update(value if isinstance(value, tuple) else (value,))
        self._strange: dict[str, dict[int, list[Path]]] = {"predictions": {}, "references": {}}
        self._predicted: set[int] = set()
        """All values above 0 in the predictions, without those that are not annotated."""
        self._overlaps = Overlaps({value: name for name, value in self.labels if isinstance(value, int)})
        self._rounded: list[Path] = []

    def measure(self, measure: Callable[[ScoredCase, LabelPair], R]) -> list[R]:
        """What `measure` gives of each pair that can be scored, in their order.

        Several are under way at once, each in a thread. After a first problem files are only checked.
        """
        room, wrong = Room(), list(self._problems)
        found: dict[int, tuple[_Seen, list[R]]] = {}

        def work(pair: tuple[str, Path, Path]) -> tuple[_Seen, list[R]]:
            with room.taking(_VOXEL_BYTES * _voxels(pair[2])):
                seen, scored = self._compared(*pair)
                return seen, [] if scored is None or wrong else [measure(*scored)]

        for index, result in side_by_side(work, self._pairs, available_cores()):
            found[index] = result
            wrong += result[0].problems
            self._progress(self._pairs[index][0], len(found), len(self._pairs))
        in_order = [found[index] for index in range(len(self._pairs))]
        for (_, prediction_path, reference_path), (seen, _) in zip(self._pairs, in_order, strict=True):
            self._problems += seen.problems
            self._rounded += seen.rounded
            self._look("references", {one.expected for one in seen.meetings}, reference_path)
            self._look("predictions", {one.predicted for one in seen.meetings}, prediction_path)
            self._overlaps.add(seen.meetings)
        return [result for _, results in in_order for result in results]

    def _compared(
        self, case: str, prediction_path: Path, reference_path: Path
    ) -> tuple[_Seen, tuple[ScoredCase, LabelPair] | None]:
        """What is in a pair of files, and the pair on one grid; None where it has none."""
        seen = _Seen()
        reference, prediction = (self._read(path, seen) for path in (reference_path, prediction_path))
        if reference is None or prediction is None:
            return seen, None
        try:
            grid = _common_grid(prediction, prediction_path, reference, reference_path)
            predicted = self._on(grid, prediction, prediction_path, reference_path)
            expected = self._on(grid, reference, reference_path, prediction_path)
        except DataError as fault:
            seen.problems.append(f"{fault.where}: {fault.found}")
            return seen, None
        pair = LabelPair(predicted, expected, self.ignored)
        seen.meetings = pair.meetings
        return seen, ((case, predicted, expected, grid.spacing_mm), pair)

    @property
    def drawn(self) -> tuple[tuple[str, int], ...]:
        """(name, value) of the classes: of regions, those that they are made of."""
        known = self._values.items() or self.labels
        return tuple((name, value) for name, value in known if isinstance(value, int) and value != self.ignored)

    def laid(self) -> Iterator[LaidPair]:
        """Each pair with the grid that both masks lie on, one in memory at a time, to be looked at; nothing is noted.

        Raises:
            DataError: a file cannot be read, or lies on another grid.
        """
        for case, prediction_path, reference_path in self._pairs:
            wanted = self._values or None
            prediction, reference = (read_mask(path, wanted=wanted) for path in (prediction_path, reference_path))
            grid = _common_grid(prediction, prediction_path, reference, reference_path)
            predicted = self._on(grid, prediction, prediction_path, reference_path)
            yield case, grid, predicted, self._on(grid, reference, reference_path, prediction_path)

    def check(self) -> None:
        """Raise `DataError` where, after all were read, no score would mean anything."""
        if self._problems:
            return
        said = self._said()
        if not self.labels:
            where = str(self._pairs[0][2].parent)
            raise DataError(where, "no reference holds a label above 0", "references with what is to be found", "")
        if self._strange["predictions"] and not self._predicted & self._known:
            cause = self._cause()
            found = f"values in the predictions that are no class: {_told(self._strange['predictions'])}"
            found += f"; {cause}" if cause else ""
            remedy = "give the predictions the values of the references, or name both in labels.json beside these"
            raise DataError(str(self._pairs[0][1].parent), found, said, remedy)

    def notes(self) -> tuple[str, ...]:
        """What was scored although it may not be meant so."""
        notes = [
            f"values in the {which} that are no class, counted as background: {_told(held)} (classes: {self._said()})"
            for which, held in self._strange.items()
            if held
        ]
        exchanged, cause = self._overlaps.exchanged(), self._cause()
        if cause:
            values = ", ".join(map(str, sorted(self._predicted)))
            notes.append(f"the predictions hold {values}: {cause}")
        if exchanged:
            notes.append(f"values may mean other classes in the predictions: {exchanged}")
        if self._rounded:
            listed = first_of([f"{path.parent.name}/{path.name}" for path in self._rounded], _LISTED)
            notes.append(f"values within rounding of whole numbers, taken for these, in {listed}")
        return tuple(notes)

    def _labels_found(self) -> Labels:
        """What the references name, else `label_<value>` for every value above 0 in them."""
        paths, room = [path for _, _, path in self._pairs], Room()

        def look(path: Path) -> tuple[_Seen, list[str], set[int]]:
            with room.taking(_VOXEL_BYTES * _voxels(path)):
                seen = _Seen()
                mask = self._read(path, seen)
                if mask is None:
                    return seen, [], set()
                named = [name for name, _ in mask.segments if name.lower() != BACKGROUND]
                return seen, named, set() if mask.segments else counted_values(mask.values).keys() - {0}

        found = dict(side_by_side(look, paths, available_cores()))
        names: dict[str, Path] = {}
        values: dict[int, Path] = {}
        for index, path in enumerate(paths):
            seen, named, held = found[index]
            self._problems += seen.problems
            for name in named:
                names.setdefault(name, path)
            for value in held:
                values.setdefault(value, path)
        if names and values:
            first, other = next(iter(names.values())), next(iter(values.values()))
            self._problems.append(f"{first} names its structures and {other} does not: {_DECLARE}")
        self._named = bool(names)
        if not names:
            return tuple((f"label_{one}", one) for one in sorted(values))
        self._values = {name: number for number, name in enumerate(names, 1)}
        self.ignored = next((number for name, number in self._values.items() if name.lower() == IGNORE), None)
        return tuple((name, number) for name, number in self._values.items() if number != self.ignored)

    def _read(self, path: Path, seen: _Seen) -> Mask | None:
        """The mask, or None and a line in the problems of `seen`."""
        try:
            mask = read_mask(path, wanted=self._values or None)
        except DataError as fault:
            seen.problems.append(f"{fault.where}: {fault.found}")
            return None
        if mask.moved:
            seen.rounded.append(path)
        return mask

    def _on(self, grid: Geometry, mask: Mask, path: Path, of: Path) -> npt.NDArray[np.integer[Any]]:
        """The values of the classes in a mask, on `grid`."""
        if self._named and not mask.segments and mask.values.any():
            raise DataError(str(path), f"its values say nothing, since the references go by names: {_DECLARE}")
        if not self._named and mask.segments and not self._values:
            raise DataError(str(path), f"it names its structures, and the references do not: {_DECLARE}")
        values = values_by_name(mask, self._values, path)
        if mask.cropped:
            return place(values, mask.geometry, grid, path, of.name)
        laid: npt.NDArray[np.integer[Any]] = onto_axes(Volume(values[None], mask.geometry), grid, path, of).array[0]
        return laid

    def _look(self, which: str, values: set[int], path: Path) -> None:
        """Keep in mind which of the `values` in a mask are no class."""
        held = values - {0} if self.ignored is None else values - {0, self.ignored}
        for value in sorted(held - self._known):
            self._strange[which].setdefault(value, []).append(path)
        if which == "predictions":
            self._predicted |= held

    def _cause(self) -> str:
        """What would make the values of the predictions those of the classes; empty where they are, or nothing does."""
        return likely_cause(self._predicted, self._known - {0, self.ignored}) if self._strange["predictions"] else ""

    def _said(self) -> str:
        """The classes with their values."""
        return ", ".join(
            f"{name} = {' or '.join(map(str, value)) if isinstance(value, tuple) else value}"
            for name, value in self.labels
        )


def _voxels(path: Path) -> int:
    """Voxels of a mask by its header; 0 where it has none that is read by itself, or cannot be read."""
    try:
        return prod(read_geometry(path).shape) if suffix_of(path) else 0
    except DataError:
        return 0


def _common_grid(prediction: Mask, prediction_path: Path, reference: Mask, reference_path: Path) -> Geometry:
    """The grid that both masks are compared on: that of one which is not cropped, the reference's before the other's.

    Raises `DataError` where both are cropped, and not on the same voxels.
    """
    if prediction.cropped and reference.cropped:
        return covering(reference.geometry, prediction.geometry, prediction_path, reference_path.name)
    if reference.cropped:
        return prediction.geometry
    return reference.geometry


def _told(held: dict[int, list[Path]]) -> str:
    """Each value with the files that hold it."""
    parts = [
        f"{value} (in {first_of([path.name for path in paths], _LISTED)})" for value, paths in list(held.items())[:8]
    ]
    return ", ".join(parts) + (", ..." if len(held) > 8 else "")
