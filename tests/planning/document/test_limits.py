"""What each kind of number is held to: the last values that are taken, and the first that are not."""

from __future__ import annotations

from math import inf, nan
from typing import Annotated, Any, get_args, get_origin

import pytest

from autospine.planning.document import limits
from autospine.planning.document.limits import Limit

HELD_TO: dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]] = {
    "Above0": ((1e-9, 1e9), (0, -1e-9)),
    "AtLeast0": ((0, 1e9), (-1e-9,)),
    "AtLeast1": ((1, 1e9), (0.999,)),
    "Count": ((0, 7), (-1,)),
    "Part": ((0, 1), (-0.01, 1.01)),
    "PartAbove0": ((0.01, 1), (0, 1.01)),
    "PartBelow1": ((0, 0.99), (-0.01, 1)),
    "Shift": ((0, 0.5), (-0.01, 0.51)),
    "Zooms": (((0.7, 1.4), (1, 1)), ((0, 1), (1.4, 0.7))),
    "Channels": ((1, 300), (0,)),
    "Neighbours": ((0, 50), (-1, 51)),
    "SomeNeighbours": ((1, 50), (0, 51)),
    "SplineOrder": ((0, 5), (-1, 6)),
    "Axis": ((0, 2), (-1, 3)),
    "LevelSpread": ((0.01, 2), (0.009, 2.1)),
    "LevelLengths": (((0.01, 1000), ()), ((0.009, 1), (1, 1000.1))),
    "LevelStep": ((0.1, 100), (0, 100.1)),
    "Ends": (((0.9, 0.1),), ((0.9,), (0, 0.5), (0.5, 1), (0.1, 0.2, 0.3))),
    "Seconds": ((0.1, 10**9), (0, 10**9 + 1)),
    "Seed": ((0, 4294967295), (-1, 4294967296)),
    "Epochs": ((1, 1_000_000), (0, 1_000_001)),
    "Steps": ((1, 10**9), (0, 10**9 + 1)),
    "ValidationSteps": ((0, 1_000_000), (-1, 1_000_001)),
    "Batch": ((1, 10_000), (0, 10_001)),
    "Features": ((1, 8192), (0, 8193)),
    "FeatureList": (((1, 8192), ()), ((1, 0), (8193, 1))),
    "Edges": (((1, 8192), ()), ((1, 0), (8193, 1))),
    "Shape": (((1, 10**6), ()), ((1, 0), (10**6 + 1, 1))),
    "Convs": ((1, 64), (0, 65)),
    "Blocks": (((1, 64), ()), ((1, 0), (65, 1))),
    "SpacingMm": (((0.01, 1000), ()), ((0.009, 1), (1, 1000.1))),
    "Intensity": ((-3.4e38, 0, 3.4e38), (-3.5e38, 3.5e38, inf, nan)),
}
"""Kind -> what is taken, and what is not."""


def limit_of(name: str) -> Limit:
    (limit,) = (one for one in get_args(getattr(limits, name)) if isinstance(one, Limit))
    return limit


def test_every_kind_is_here() -> None:
    assert {name for name, kind in vars(limits).items() if get_origin(kind) is Annotated} == set(HELD_TO)


@pytest.mark.parametrize("name", HELD_TO)
def test_limits_are_where_they_are_said_to_be(name: str) -> None:
    taken, refused = HELD_TO[name]
    limit = limit_of(name)
    assert [value for value in taken if not limit.holds(value)] == []
    assert [value for value in refused if limit.holds(value)] == []


def test_bounds_and_units_are_said() -> None:
    said = [limit_of(name).said for name in ("Part", "Batch", "Blocks", "SpacingMm")]
    assert said == ["from 0 to 1", "from 1 to 10000", "from 1 to 64 each", "from 0.01 to 1000 mm"]
