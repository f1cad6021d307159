"""What a model has learnt from, as a stranger may have written it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autospine.errors import PlanError
from autospine.planning.document.convert import from_table, to_table
from autospine.planning.document.trained_on import LONGEST_DESCRIPTION, MOST_DESCRIPTIONS, PLANES, TrainedOn

SEEN = TrainedOn(
    12,
    ((3.0, 0.5, 0.5), (4.0, 0.6, 0.6), (5.0, 0.7, 0.8)),
    ((15, 300, 300), (17, 320, 320), (20, 512, 512)),
    "sagittal",
    ("t2_tse_sag", "T2 wirbelsäule"),
)


def test_it_comes_back() -> None:
    assert from_table(TrainedOn, to_table(SEEN), "about.json") == SEEN
    assert SEEN.slices in PLANES


@pytest.mark.parametrize(
    ("change", "key", "found"),
    [
        ({"cases": -1}, "trained_on.cases", "at least 0"),
        ({"spacing_mm": ((1.0, 1.0, 0.0), *SEEN.spacing_mm[1:])}, "trained_on.spacing_mm", "above 0"),
        ({"spacing_mm": ((1.0, 1.0, math.nan), *SEEN.spacing_mm[1:])}, "trained_on.spacing_mm", "finite"),
        ({"shape": ((1.0, 1.0, math.inf), *SEEN.shape[1:])}, "trained_on.shape", "finite"),
        ({"slices": "oblique"}, "trained_on.slices", "axial, coronal, sagittal"),
        ({"descriptions": ("x",) * (MOST_DESCRIPTIONS + 1)}, "trained_on.descriptions", "at most 100"),
        ({"descriptions": ("x" * (LONGEST_DESCRIPTION + 1),)}, "trained_on.descriptions", "at most 200 letters"),
        ({"descriptions": ("\x1b[2J",)}, "trained_on.descriptions", "control characters"),
    ],
)
def test_what_cannot_be(change: dict[str, object], key: str, found: str) -> None:
    with pytest.raises(PlanError, match=found) as fault:
        replace(SEEN, **change)  # type: ignore[arg-type]
    assert fault.value.where == key and "\x1b" not in str(fault.value)
