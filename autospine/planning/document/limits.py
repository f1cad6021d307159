"""Kinds of numbers with what they are held to: a field says its kind, and what recipe and plan share is one kind.

    momentum: PartBelow1 = 0.99                  epochs: Literal["auto"] | Epochs = "auto"

Beyond a limit without a reason of its own a number is a slip of the pen, which would ask for all memory or time (ours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Limit:
    """What a number, or a list of numbers, has to be."""

    said: str
    """As it is told where a value is refused."""
    holds: Callable[[Any], bool]


def between(low: float, high: float) -> Limit:
    """From `low` to `high`, both allowed."""
    return Limit(f"from {low} to {high}", lambda value: bool(low <= value <= high))


def each(low: float, high: float, unit: str = "each") -> Limit:
    """A list of such numbers."""
    return Limit(f"from {low} to {high} {unit}", lambda values: all(low <= value <= high for value in values))


Above0 = Annotated[float, Limit("above 0", lambda value: value > 0)]
AtLeast0 = Annotated[float, Limit("at least 0", lambda value: value >= 0)]
AtLeast1 = Annotated[float, Limit("at least 1", lambda value: value >= 1)]
Count = Annotated[int, Limit("at least 0", lambda value: value >= 0)]
Part = Annotated[float, between(0, 1)]
PartAbove0 = Annotated[float, Limit("above 0, at most 1", lambda value: 0 < value <= 1)]
PartBelow1 = Annotated[float, Limit("from 0 to below 1", lambda value: 0 <= value < 1)]
Shift = Annotated[float, between(0, 0.5)]
Zooms = Annotated[
    tuple[float, float], Limit("two zooms above 0, the smaller first", lambda value: 0 < value[0] <= value[1])
]
Channels = Annotated[int, Limit("at least 1", lambda value: value >= 1)]
Neighbours = Annotated[int, Limit("0 to 50", lambda value: 0 <= value <= 50)]
"""Slices on either side of the one that is segmented."""
SomeNeighbours = Annotated[int, Limit("1 to 50", lambda value: 1 <= value <= 50)]
SplineOrder = Annotated[int, Limit("0 to 5", lambda value: 0 <= value <= 5)]
Axis = Annotated[int, Limit("0, 1 or 2", lambda value: 0 <= value <= 2)]
LevelSpread = Annotated[float, Limit("0.01 to 2", lambda value: 0.01 <= value <= 2)]
LevelStep = Annotated[float, Limit("above 0, at most 100", lambda value: 0 < value <= 100)]
Ends = Annotated[
    tuple[float, float],
    Limit("two shares above 0 and below 1", lambda values: len(values) == 2 and all(0 < value < 1 for value in values)),
]
Seconds = Annotated[float, Limit("above 0, at most 1000000000", lambda value: 0 < value <= 10**9)]
Seed = Annotated[int, between(0, 2**32 - 1)]
Epochs = Annotated[int, between(1, 10**6)]
Steps = Annotated[int, between(1, 10**9)]
ValidationSteps = Annotated[int, between(0, 10**6)]
Batch = Annotated[int, between(1, 10**4)]
Features = Annotated[int, between(1, 8192)]
FeatureList = Annotated[tuple[int, ...], each(1, 8192)]
Edges = Annotated[tuple[int, ...], each(1, 8192)]
Shape = Annotated[tuple[int, ...], each(1, 10**6)]
Convs = Annotated[int, between(1, 64)]
Blocks = Annotated[tuple[int, ...], each(1, 64)]
LevelLengths = Annotated[tuple[float, ...], each(0.01, 1000, "mm")]
SpacingMm = Annotated[tuple[float, ...], each(0.01, 1000, "mm")]
Intensity = Annotated[float, Limit("a number that float32 holds", lambda value: bool(-3.4e38 <= value <= 3.4e38))]
"""What voxels are made of: a larger number would turn all of an image into infinity."""
