"""Which masks of a training set are likely to be wrong, and in what, from how out-of-fold predictions disagree.

Each reason asks whether one simple fault would explain the disagreement, and is judged by four factors, 0 to 1:

    explained    the share of the disagreement that is gone when the fault is mended: of 1 - Dice, of a piece, of jumps
    surprise     how far that is from what other subjects show in this structure: z^2 / (z^2 + SURPRISING^2)
    blame        whether the mask, and not the prediction, is the odd one beside other masks (`plausibility`)
    confidence   whether the network was as sure of the structure as it usually is, where that is known

Their product is the score of a suspicion. So a structure in which Dice is always low raises no suspicion by that, and
reasons of different kinds have one scale. What is low without a reason counts half. Our own method, and all numbers are
ours; `docs/audit.md` says what they find.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from autospine.data.geometry import Triple
from autospine.data.slices import PLANES
from autospine.evaluation.disagreement import CaseDisagreement, StructureDisagreement
from autospine.evaluation.translations import Translation
from autospine.evaluation.unusual import usual
from autospine.evaluation.usual_disagreement import LEAST_DICE, Usual

Reason = Literal["swapped", "shifted", "missing", "extra", "ragged", "merged", "split", "low Dice"]

SURPRISING = 5.0
"""Robust spreads that are half as surprising as can be. Lower, the usual tails of Dice (2 to 4 spreads) fill the list;
higher, an outline that is twice as rough as others is passed over."""
AT_THE_END = 0.5
"""Weight of a piece that lies at the end of what is annotated: masks end there by choice, not by mistake."""
ALONE = 0.5
"""Weight of a piece that the mask alone has, since networks miss what is there more often than people draw what is not;
of pieces that are one or several, since vertebrae touch in one case and not in the next; and of the roughness of one
structure alone, since an outline that is drawn carelessly is so in all of a case."""
UNEXPLAINED = 0.5
"""Weight of a low Dice that no reason explains."""
LEAST_SCORE = 0.01
"""Of a suspicion that is told at all."""
WHOLE = 0.8
"""Score of a shift of all structures over that of the strongest of one alone from which on it is the one that is told:
where a whole mask is shifted, each structure is."""


@dataclass(frozen=True)
class JudgedCase:
    """A case whose mask is looked at."""

    case: str
    subject: str
    disagreement: CaseDisagreement
    expected_dice: tuple[float, ...] = ()
    """Of each structure, as the network expected by its own probabilities; NaN where not known, empty for none."""


@dataclass(frozen=True)
class Suspicion:
    """What may be wrong with a mask."""

    reason: Reason
    structures: tuple[str, ...]
    score: float
    """0 to 1; comparable between reasons, cases and structures."""
    detail: str
    """In words."""


@dataclass(frozen=True)
class RankedCase:
    """A case with what speaks against its mask."""

    case: str
    score: float
    """That of the first suspicion; 0 without any."""
    dice: float
    """Mean over the structures of the first suspicion, or over all; NaN where they are in neither map."""
    suspicions: tuple[Suspicion, ...]
    """The strongest first."""


def rank_cases(cases: Sequence[JudgedCase], names: Sequence[str]) -> tuple[RankedCase, ...]:
    """All cases, the most suspicious mask first; `names` are those of the structures."""
    if not cases:
        return ()
    unknown = (math.nan,) * len(names)
    expected = np.array([one.expected_dice or unknown for one in cases], np.float64)
    subjects = tuple(one.subject for one in cases)
    judge = _Judge(Usual(tuple(one.disagreement for one in cases), subjects, expected), tuple(names))
    ranked = [judge.ranked(one.case, place) for place, one in enumerate(cases)]
    return tuple(sorted(ranked, key=lambda one: (-one.score, 2.0 if math.isnan(one.dice) else one.dice, one.case)))


@dataclass(frozen=True)
class _Judge:
    """Looks for reasons, one case at a time."""

    usual: Usual
    names: tuple[str, ...]

    def ranked(self, name: str, case: int) -> RankedCase:
        found = [one for one in self._suspicions(case) if one.score >= LEAST_SCORE]
        kept = _without_repeats(sorted(found, key=lambda one: -one.score))
        of = [self.names.index(held) for held in kept[0].structures] if kept else range(len(self.names))
        known = [float(dice) for dice in self.usual.dice[case, list(of)] if not math.isnan(dice)]
        dice = sum(known) / len(known) if known else math.nan
        return RankedCase(name, kept[0].score if kept else 0.0, dice, kept)

    def _suspicions(self, case: int) -> Iterator[Suspicion]:
        yield from self._swapped(case)
        yield from self._shifted(case)
        yield from self._ragged(case)
        for index, one in enumerate(self._structures(case)):
            if not math.isnan(one.dice):
                yield self._missing(case, index)
                yield self._extra(case, index)
                yield self._joined(case, index, "merged")
                yield self._joined(case, index, "split")
                yield self._low(case, index)

    def _structures(self, case: int) -> tuple[StructureDisagreement, ...]:
        return self.usual.cases[case].structures

    def _score(self, case: int, structures: Sequence[int], explained: float, z: float) -> float:
        """The product of the four factors; the slow ones only where the others leave something."""
        score = _surprising(explained, z)
        if score < LEAST_SCORE:
            return score
        return score * self.usual.plausibility.blame(case, structures) * self.usual.confidence(case, structures)

    def _swapped(self, case: int) -> Iterator[Suspicion]:
        moves = self.usual.moves[case]
        if moves.pairs:
            held = sorted({index for pair in moves.pairs for index in pair})
            explained = (moves.after - moves.before) / max(1 - moves.before, 1e-6)
            score = self._score(case, held, explained, float(self.usual.move_z[case]))
            names = tuple(self.names[index] for index in held)
            yield Suspicion("swapped", names, score, _said_moves(moves.pairs, self.names))

    def _shifted(self, case: int) -> Iterator[Suspicion]:
        """All structures together, or each that is shifted by itself."""
        z = self.usual.translation_z[case]
        alone, there = [], []
        for index, one in enumerate(self._structures(case)):
            if one.translation is not None:
                there.append(index)
                alone.append(self._translated(case, [index], one.translation, float(z[index])))
        together = self.usual.cases[case].translation
        if together is not None and len(there) > 1:
            whole = self._translated(case, there, together, float(z[-1]))
            if whole.score >= WHOLE * max(one.score for one in alone):
                yield whole
                return
        yield from alone

    def _translated(self, case: int, held: Sequence[int], by: Translation, z: float) -> Suspicion:
        names = tuple(self.names[index] for index in held)
        score = self._score(case, held, (by.after - by.before) / max(1 - by.before, 1e-6), z)
        said = f"{_range(names)} {'lies' if len(names) == 1 else 'lie'} {_directions(by.millimetres)} than predicted"
        return Suspicion("shifted", names, score, said)

    def _missing(self, case: int, index: int) -> Suspicion:
        one, name = self._structures(case)[index], self.names[index]
        volume, absent = one.lacking.volume_mm3, one.reference.volume_mm3 == 0
        weight = 1.0 if one.lacking.between else AT_THE_END
        weight = max(weight, self.usual.presence(case, index)) if absent else weight
        score = weight * self._patch_score(case, index, *self.usual.lacking)
        said = f"the mask has nothing where {_volume(volume)} of {name} are predicted"
        if absent:
            said = f"{name} is not in the mask, and {_volume(volume)} of it are predicted"
        return Suspicion("missing", (name,), score, said)

    def _extra(self, case: int, index: int) -> Suspicion:
        one, name = self._structures(case)[index], self.names[index]
        score = ALONE * self._patch_score(case, index, *self.usual.surplus)
        said = f"the mask has {_volume(one.surplus.volume_mm3)} of {name} where nothing is predicted"
        return Suspicion("extra", (name,), score, said)

    def _patch_score(self, case: int, index: int, shares: npt.NDArray[np.float64], z: npt.NDArray[np.float64]) -> float:
        """Of a piece that one map has alone: half of a usual one explains all."""
        return self._score(case, [index], 2 * float(shares[case, index]), float(z[case, index]))

    def _ragged(self, case: int) -> Iterator[Suspicion]:
        """Seen in the mask by itself: neither places nor the network's confidence say anything of it."""
        excess, z = self.usual.rough
        both = [index for index, one in enumerate(self._structures(case)) if one.translation is not None]
        for index in range(len(self.names) + 1):
            if np.isnan(z[case, index]).any():
                continue
            above = [float(one) for one in excess[case, index]]
            scores = [
                _surprising(1 - math.exp(-one), float(far)) for one, far in zip(above, z[case, index], strict=True)
            ]
            axis = int(np.argmax(scores))
            names = tuple(self.names[held] for held in ([index] if index < len(self.names) else both))
            said = f"the outline of {_range(names)} jumps between {PLANES[axis]} slices"
            times = f"{math.exp(above[axis]):.1f} times as much as in other masks"
            weight = ALONE if len(names) < len(both) else 1.0
            yield Suspicion("ragged", names, weight * scores[axis], f"{said}, {times}")

    def _joined(self, case: int, index: int, kind: Literal["merged", "split"]) -> Suspicion:
        one, name = self._structures(case)[index], self.names[index]
        here, there = ("apart", "one") if kind == "merged" else ("as one", "apart")
        said = f"pieces of {name} that are predicted {here} are {there} in the mask"
        z = float(self.usual.joined_z[kind][case, index])
        score = ALONE * self._score(case, [index], 2 * getattr(one, kind), z)
        return Suspicion(kind, (name,), score, said)

    def _low(self, case: int, index: int) -> Suspicion:
        name, dice = self.names[index], self.usual.dice[:, index]
        middle, _ = usual(dice, self.usual.subjects, LEAST_DICE)
        said = f"Dice of {name} is {dice[case]:.2f}, where {middle[case]:.2f} is usual"
        score = UNEXPLAINED * self._score(case, [index], 1.0, -float(self.usual.dice_z[case, index]))
        return Suspicion("low Dice", (name,), score, said)


def _surprising(explained: float, z: float) -> float:
    """What is explained, of 1 at most, times how surprising that is; 0 where there is nothing of either."""
    if not (explained > 0 and z > 0):
        return 0.0
    return min(explained, 1.0) * z**2 / (z**2 + SURPRISING**2)


def _without_repeats(found: Sequence[Suspicion]) -> tuple[Suspicion, ...]:
    """The suspicions, strongest first, but for those that a stronger one of the same structures explains."""
    kept: list[Suspicion] = []
    for one in found:
        said = {name for other in kept if _explains(other.reason, one.reason) for name in other.structures}
        if not said.issuperset(one.structures):
            kept.append(one)
    return tuple(kept)


def _explains(stronger: Reason, weaker: Reason) -> bool:
    """A mask that lies elsewhere lacks pieces and has others, whatever else; a low Dice comes of any reason."""
    if weaker == "low Dice" or stronger == weaker:
        return True
    return stronger in ("swapped", "shifted") and weaker != "ragged"


def _said_moves(pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    """`L3 and L2 are exchanged`, `L5 to L2 lie where L4 to L1 are predicted`, `L3 lies where L2 is predicted`."""
    steps = {other - own for own, other in pairs}
    if len(pairs) == 2 and pairs[0] == pairs[1][::-1]:
        return f"{names[pairs[0][0]]} and {names[pairs[0][1]]} are exchanged"
    if len(pairs) > 1 and len(steps) == 1:
        own, other = ([names[pair[side]] for pair in pairs] for side in (0, 1))
        return f"{_range(own)} lie where {_range(other)} are predicted"
    return ", ".join(f"{names[own]} lies where {names[other]} is predicted" for own, other in pairs)


def _range(names: Sequence[str]) -> str:
    """`L3`, `L3 and L2`, `L5 to L1`."""
    return " and ".join(names) if len(names) < 3 else f"{names[0]} to {names[-1]}"


def _directions(onto_prediction_mm: Triple) -> str:
    """`14 mm higher, 3 mm further left`: where a mask lies that this translation brings onto the prediction."""
    words = (("lower", "higher"), ("further in front", "further back"), ("further right", "further left"))
    parts = [
        (abs(step), f"{abs(step):.3g} mm {pair[step < 0]}")
        for step, pair in zip(onto_prediction_mm, words, strict=True)
        if step
    ]
    return ", ".join(text for _, text in sorted(parts, reverse=True))


def _volume(volume_mm3: float) -> str:
    """`3.2 ml`, `140 mm3`."""
    return f"{volume_mm3 / 1000:.3g} ml" if volume_mm3 >= 1000 else f"{volume_mm3:.3g} mm3"
