"""What a prediction says of itself, in numbers: how sure it is, what the image is like, what was found.

`evidence.json` of a trained fold holds it for each of the fold's validation cases, whose Dice is known; a prediction
gathers the same of a case whose Dice is not. What the one teaches about the other is a promise (`promise`).

Of each structure, over the voxels of the network's grid with probabilities p:

    predicted   voxels where it wins           soft     sum of p
    inside      sum of p where it wins         expected Dice = 2 inside / (predicted + soft)

The last is what the Dice would be, in the mean, were the probabilities right (soft Dice of a prediction with itself).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from autospine.planning.document.convert import Checks, Reader, to_table
from autospine.planning.document.limits import AtLeast0, Count, Limit, Part

EVIDENCE, EVIDENCE_SCHEMA = "evidence.json", 1
"""In the folder of a trained fold: `{"schema": 1, "cases": {case: ...}}`."""
REMEDY = "delete the file: what makes a promise gathers it anew"
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
"""Of the prepared image."""
LAYOUT = 3
"""Parts of each axis in the layout of an image: 27 means tell top from bottom and front from back (ours)."""
Counted = Annotated[float, Limit("from 0 to 10000000000000000", lambda value: 0 <= value <= 1e16)]
"""A sum over voxels."""
Number = Annotated[float, Limit("a finite number", lambda value: math.isfinite(value))]
Numbers = Annotated[tuple[float, ...], Limit("finite numbers", lambda values: all(map(math.isfinite, values)))]
Along = Annotated[
    tuple[float, float, float], Limit("three numbers of at least 0", lambda values: all(0 <= one for one in values))
]


@dataclass(frozen=True)
class StructureEvidence:
    """A class or region in a case. Counts of voxels and sums of probabilities are of the network's grid."""

    predicted_voxels: Count
    """Where it wins."""
    soft_voxels: Counted
    """Sum of its probability."""
    inside: Counted
    """Sum of its probability where it wins."""
    entropy: Part
    """Entropy of the voxels over that of a guess, in the mean weighted by its probability: 0 sure, 1 a guess."""
    disagreement: Part | None = None
    """How far members disagree (`inference.uncertainty`), weighted likewise; None where that was not computed."""
    volume_mm3: AtLeast0 = 0.0
    """Of the labels on the image's own grid, as all that follows."""
    islands: Count = 0
    """Connected components (by faces)."""
    largest: Part = 0.0
    """Share of its voxels that the largest of them has; 0 where there is none."""
    edge: Part = 0.0
    """Share of its voxels in the outermost planes of the image: what the image cuts off."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self):
            pass

    @property
    def found(self) -> bool:
        """Whether there is any of it on the network's grid and in the labels."""
        return self.predicted_voxels > 0 and self.islands > 0

    @property
    def expected_dice(self) -> float | None:
        """The mean Dice that the probabilities speak for; None where it was predicted nowhere."""
        if not self.predicted_voxels:
            return None
        return min(1.0, 2 * self.inside / (self.predicted_voxels + self.soft_voxels))


@dataclass(frozen=True)
class ChannelEvidence:
    """A channel of the prepared image: normalised, at the planned spacing, on planned axes."""

    percentiles: Numbers
    """`PERCENTILES` of its voxels."""
    gradient: Along
    """Mean difference of neighbours along each axis."""
    noise: AtLeast0
    """Deviation of white noise in a plane that would give its finest detail (Immerkaer 1996)."""
    background: Part
    """Share of the voxels in the lowest tenth between its 1st and 99th percentile."""
    layout: Numbers
    """Means of the 3 x 3 x 3 parts of the image along canonical (Z, Y, X), the last axis first to change."""

    def __post_init__(self) -> None:
        """Check the ranges, and that all are there."""
        with Checks(self) as check:
            for name, count in (("percentiles", len(PERCENTILES)), ("layout", LAYOUT**3)):
                check(len(getattr(self, name)) == count, name, f"{count} numbers")


@dataclass(frozen=True, kw_only=True)
class CaseEvidence:
    """What is known of a case as a whole."""

    channels: tuple[ChannelEvidence | None, ...]
    """None for one that the case lacks."""
    spacing_mm: Along
    """Of the image, along canonical (Z, Y, X)."""
    size_mm: Along
    """Edges of the box around what is not 0 in the image, along canonical (Z, Y, X)."""
    networks: Count = 1
    """How many spoke together. Disagreement of one is that of its mirrorings alone."""
    temperature: Number = 1.0
    """By which logits were divided."""
    levels_missing: Count = 0
    """Levels of a column that are not there between others that are."""
    levels_misplaced: Count = 0
    """Neighbours on a column, of those that are there, which stand in the wrong order."""
    levels_doubled: Count = 0
    """Levels of a column of which there are two large pieces, one above the other."""
    sides_swapped: Count = 0
    """Pairs of structures of which the left one lies to the right of the other."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        with Checks(self):
            pass


@dataclass(frozen=True, kw_only=True)
class Evidence(CaseEvidence):
    """A case with its structures."""

    structures: Mapping[str, StructureEvidence]
    """By name: classes or regions, in the order of the model."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for `json.dumps`."""
        table: dict[str, Any] = to_table(dict(vars(self)))
        return table

    @classmethod
    def from_json(cls, content: object, where: str = "evidence.json") -> Evidence:
        """The evidence that `to_json` gave; PlanError naming `where` and the keys otherwise."""
        reader = Reader(where, REMEDY)
        table = dict(content) if isinstance(content, Mapping) else {}
        named = table.pop("structures", None)
        if not isinstance(named, Mapping):
            reader.refuse("structures", named, "a table of structures")
            named = {}
        structures = {str(name): reader.table(StructureEvidence, one, str(name)) for name, one in named.items()}
        facts = reader.sound(reader.table(CaseEvidence, table))
        return cls(structures={name: one for name, one in structures.items() if one is not None}, **vars(facts))
