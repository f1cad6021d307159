"""Whose fault a disagreement is: the map in which structures lie where, and are as large as, no other mask has them.

    mask        L3 lies below L4, as in no other mask    ->  the mask is doubted
    prediction  L3 lies where others have L2             ->  the network has miscounted; the mask is doubted less

All of it is by the masks of the other subjects, of which a few may be wrong themselves (`unusual`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autospine.evaluation.disagreement import CaseDisagreement, Shape
from autospine.evaluation.unusual import Floats, usual_beside

LEAST_PLACE_MM = 3.0
"""Spread of a structure's place in the image below which differences do not matter: nobody is laid that exactly."""
LEAST_DISTANCE_MM = 2.0
"""The same of the distance of two structures."""
LEAST_SIZE = 0.1
"""The same of the logarithm of a volume."""
MOST = 20.0
"""Spreads that count: beyond, a place is as odd as it can be."""
ABSENT = 10.0
"""Spreads that a structure counts as which is not there and is in every other mask; of one that is in some, times the
square of their share. One that is not among those which disagree counts half: a column named one level too high lacks
a level at its end."""


@dataclass(frozen=True)
class Plausibility:
    """Where the masks of all cases have their structures, and how large."""

    references: Sequence[tuple[Shape, ...]]
    predictions: Sequence[tuple[Shape, ...]]
    subjects: Sequence[str]

    @staticmethod
    def of(cases: Sequence[CaseDisagreement], subjects: Sequence[str]) -> Plausibility:
        """Of all cases, in their order."""
        references = [tuple(one.reference for one in case.structures) for case in cases]
        predictions = [tuple(one.prediction for one in case.structures) for case in cases]
        return Plausibility(references, predictions, subjects)

    def blame(self, case: int, structures: Sequence[int]) -> float:
        """How far the mask of a case is to be doubted where it and the prediction disagree in these structures.

        1 where the mask is at least as odd as the prediction, towards 0 the odder the prediction is beside it.
        """
        mask, prediction = (self._oddness(case, held[case], structures) for held in (self.references, self.predictions))
        return min(1.0, 2 * (1 + mask) / (2 + mask + prediction))

    def _oddness(self, case: int, shapes: Sequence[Shape], structures: Sequence[int]) -> float:
        """Spreads by which places, distances or volumes differ from those in the other masks, 0 to `MOST`."""
        found = [0.0]
        for index, shape in enumerate(shapes):
            if shape.place_mm is None:
                found.append(ABSENT * self._presence(case, index) ** 2 * (1.0 if index in structures else 0.5))
        there = [index for index in structures if shapes[index].place_mm is not None]
        for measure in (self._place, self._size, self._distance) if there else ():
            found.append(float(np.mean([measure(case, shapes, index) for index in there])))
        return min(MOST, max(found))

    def _presence(self, case: int, index: int) -> float:
        """Share of the masks of other subjects that have a structure."""
        others = [
            one[index].place_mm is not None
            for one, subject in zip(self.references, self.subjects, strict=True)
            if subject != self.subjects[case]
        ]
        return sum(others) / len(others) if others else 0.0

    def _place(self, case: int, shapes: Sequence[Shape], index: int) -> float:
        return self._apart(case, _place(shapes[index]), [_place(one[index]) for one in self.references], LEAST_PLACE_MM)

    def _size(self, case: int, shapes: Sequence[Shape], index: int) -> float:
        return self._apart(case, _size(shapes[index]), [_size(one[index]) for one in self.references], LEAST_SIZE)

    def _distance(self, case: int, shapes: Sequence[Shape], index: int) -> float:
        """The median over the structures that are there too: one of them may be as wrong as this one."""
        found = []
        for other in range(len(shapes)):
            if other == index or shapes[other].place_mm is None:
                continue
            usually = [_place(one[index]) - _place(one[other]) for one in self.references]
            here = _place(shapes[index]) - _place(shapes[other])
            found.append(self._apart(case, here, usually, LEAST_DISTANCE_MM))
        return float(np.median(found)) if found else 0.0

    def _apart(self, case: int, here: Floats, all_of_them: Sequence[Floats], floor: float) -> float:
        """Root mean square over the axes of how many spreads `here` lies from the others."""
        table = np.stack(all_of_them)
        squares = []
        for axis in range(table.shape[1]):
            centre, spread = usual_beside(table[:, axis], self.subjects, case, floor)
            if not np.isnan(spread):
                squares.append(float((here[axis] - centre) / spread) ** 2)
        return float(np.sqrt(np.mean(squares))) if squares else 0.0


def _place(shape: Shape) -> Floats:
    return np.full(3, np.nan) if shape.place_mm is None else np.asarray(shape.place_mm, np.float64)


def _size(shape: Shape) -> npt.NDArray[np.float64]:
    return np.array([np.log(shape.volume_mm3) if shape.volume_mm3 > 0 else np.nan])
