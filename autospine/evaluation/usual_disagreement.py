"""What masks and predictions of a whole training set usually disagree in, and how far each case lies from that.

Every table here has a row for each case and a column for each structure. Deviations are in robust spreads of the other
subjects (`unusual`), so that each structure is measured by what is usual for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from autospine.evaluation.disagreement import CaseDisagreement, StructureDisagreement
from autospine.evaluation.plausibility import Plausibility
from autospine.evaluation.unusual import Floats, deviations, usual, weighted_median

LEAST_MOVE = 0.2
"""Dice that a mask's structure has to gain under another name to be taken for that one."""
OWN_NAME = 0.1
"""Dice that the name which a structure has counts more than any other: among neighbours that touch, names stay."""
LEAST_DICE = 0.03
"""Spread of Dice, or of a gain in it, below which differences do not matter."""
LEAST_SHARE = 0.1
"""The same of shares of a piece's volume."""
LEAST_ROUGHNESS = 0.15
"""The same of logarithms of roughness: a sixth more or less."""
EVEN = 0.005
"""Roughness that is added to any: of outlines with next to no jumps, one more is no matter. That of vertebral bodies
within slices is 0.001 to 0.004, of outlines that waver by 1.5 voxels from 0.01 (0.5 from slice to slice)."""
UNSURE = 0.3
"""Least confidence of a network that counts; it is squared, so that an unsure one has a tenth of the say."""


@dataclass(frozen=True)
class Moves:
    """Structures of a mask that lie where others are predicted."""

    pairs: tuple[tuple[int, int], ...] = ()
    """(structure in the mask, structure that is predicted there)."""
    before: float = 0.0
    """Mean Dice of them under their own names."""
    after: float = 0.0
    """Mean Dice under those of the structures that are predicted there."""

    @staticmethod
    def of(dice: Floats) -> Moves:
        """By the names under which the mask agrees best with the prediction; none where its own are as good.

        `dice` (K, K) is that of each structure in the mask with each in the prediction, NaN where either is absent.
        """
        held = np.nan_to_num(dice)
        own, other = linear_sum_assignment(-(held + OWN_NAME * np.eye(len(held))))
        moved = [(int(i), int(j)) for i, j in zip(own, other, strict=True) if held[i, j] - held[i, i] > LEAST_MOVE]
        if not moved:
            return Moves()
        before, after = [held[i, i] for i, _ in moved], [held[i, j] for i, j in moved]
        return Moves(tuple(moved), float(np.mean(before)), float(np.mean(after)))


@dataclass(frozen=True)
class Usual:
    """All cases of a training set beside each other."""

    cases: tuple[CaseDisagreement, ...]
    subjects: tuple[str, ...]
    """Who was imaged, of each case."""
    expected_dice: Floats
    """(cases, structures): as the network expected by its own probabilities; NaN where not known."""

    @property
    def structures(self) -> range:
        """Places of the structures."""
        return range(self.expected_dice.shape[1])

    @cached_property
    def plausibility(self) -> Plausibility:
        """Where structures usually lie, and how large they are."""
        return Plausibility.of(self.cases, self.subjects)

    @cached_property
    def moves(self) -> tuple[Moves, ...]:
        """Of each case, which structures have another's name."""
        return tuple(Moves.of(case.dice) for case in self.cases)

    @cached_property
    def move_z(self) -> Floats:
        """(cases,): deviations of what other names gain."""
        return deviations(np.array([one.after - one.before for one in self.moves]), self.subjects, LEAST_DICE)

    @cached_property
    def translation_z(self) -> Floats:
        """(cases, structures and all together): deviations of what the best translation gains; NaN without one."""
        held = [[*(one.translation for one in case.structures), case.translation] for case in self.cases]
        gains = [[math.nan if one is None else one.after - one.before for one in row] for row in held]
        return self._columns(np.array(gains, np.float64), LEAST_DICE)

    @cached_property
    def usual_pieces_mm3(self) -> Floats:
        """(structures,): volume of a usual piece in the masks, that of the voxel in the middle of them all."""
        found = []
        for index in self.structures:
            volumes = np.array([size for one in self.of(index) for size in one.reference.pieces_mm3], np.float64)
            found.append(weighted_median(volumes, volumes) if len(volumes) else math.inf)
        return np.array(found)

    @cached_property
    def lacking(self) -> tuple[Floats, Floats]:
        """(volume of the largest piece that a mask lacks over that of a usual one, its deviations)."""
        return self._patches("lacking")

    @cached_property
    def surplus(self) -> tuple[Floats, Floats]:
        """The same of pieces that the mask alone has."""
        return self._patches("surplus")

    @cached_property
    def dice(self) -> Floats:
        """Dice; NaN where a structure is in neither map."""
        return np.array([[one.dice for one in case.structures] for case in self.cases], np.float64)

    @cached_property
    def dice_z(self) -> Floats:
        """Deviations of Dice."""
        return self._columns(self.dice, LEAST_DICE)

    @cached_property
    def joined_z(self) -> dict[str, Floats]:
        """Deviations of what is `merged` and `split`, by that name."""
        found = {}
        for kind in ("merged", "split"):
            table = [[getattr(one, kind) for one in case.structures] for case in self.cases]
            found[kind] = self._columns(np.array(table, np.float64), LEAST_SHARE)
        return found

    @cached_property
    def rough(self) -> tuple[Floats, Floats]:
        """(how far roughness exceeds what is usual, as a logarithm; its deviations).

        Both are (cases, structures and all together, 3) and the smaller of two: of the mask's roughness, and of its
        ratio to the prediction's. Neither a finely structured organ nor a smooth prediction makes a mask rough. NaN
        where a structure is absent from either map.
        """
        shape = (len(self.cases), len(self.structures), 3)
        mask, prediction = np.full(shape, np.nan), np.full(shape, np.nan)
        for place, case in enumerate(self.cases):
            for index, one in enumerate(case.structures):
                if one.reference.volume_mm3 > 0 and one.prediction.volume_mm3 > 0:
                    mask[place, index], prediction[place, index] = one.reference.jumps, one.prediction.jumps
        own, ratio = np.log(mask + EVEN), np.log((mask + EVEN) / (prediction + EVEN))
        both = [self._above(np.concatenate([table, _known_mean(table)], axis=1)) for table in (own, ratio)]
        (own_excess, own_z), (excess, z) = both
        return np.minimum(own_excess, excess), np.minimum(own_z, z)

    def _above(self, table: Floats) -> tuple[Floats, Floats]:
        """(what lies above the median of the others, the same in spreads) of each number of (cases, columns, axes)."""
        excess, z = np.full(table.shape, np.nan), np.full(table.shape, np.nan)
        for column in np.ndindex(table.shape[1:]):
            values = table[(slice(None), *column)]
            centres, spreads = usual(values, self.subjects, LEAST_ROUGHNESS)
            known = np.isnan(values) | ~np.isnan(spreads)
            excess[(slice(None), *column)] = np.where(known, values - centres, 0.0)
            z[(slice(None), *column)] = np.where(known, (values - centres) / spreads, 0.0)
        return excess, z

    def of(self, index: int) -> list[StructureDisagreement]:
        """One structure in all cases."""
        return [case.structures[index] for case in self.cases]

    def presence(self, case: int, index: int) -> float:
        """Share of the cases of other subjects whose mask has a structure."""
        there = np.array([float(one.reference.volume_mm3 > 0) for one in self.of(index)])
        others = np.array([name != self.subjects[case] for name in self.subjects])
        return float(there[others].mean()) if others.any() else 0.0

    def confidence(self, case: int, structures: Sequence[int]) -> float:
        """1 where the network expected of these structures what it usually does, less where it was unsure."""
        shares = []
        for index in structures:
            centres, _ = usual(self.expected_dice[:, index], self.subjects, LEAST_DICE)
            share = self.expected_dice[case, index] / centres[case] if centres[case] > 0 else math.nan
            if not math.isnan(share):
                shares.append(min(max(float(share), UNSURE), 1.0))
        return float(np.mean(shares)) ** 2 if shares else 1.0

    def _patches(self, side: Literal["lacking", "surplus"]) -> tuple[Floats, Floats]:
        held = [[getattr(one, side).volume_mm3 for one in case.structures] for case in self.cases]
        shares = np.array(held, np.float64) / self.usual_pieces_mm3
        return shares, self._columns(shares, LEAST_SHARE)

    def _columns(self, table: Floats, floor: float) -> Floats:
        """Deviations of each column."""
        return np.stack([deviations(column, self.subjects, floor) for column in table.T], axis=1)


def _known_mean(table: Floats) -> Floats:
    """(cases, 1, 3): mean over the structures that have a number; NaN where none has."""
    counts = np.count_nonzero(~np.isnan(table), axis=1, keepdims=True)
    sums = np.nansum(table, axis=1, keepdims=True)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
