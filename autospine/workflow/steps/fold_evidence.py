"""What the folds of a run have kept of their out-of-fold predictions, where they have: a help, never a need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autospine.data.disk.files import read_json
from autospine.errors import DataError
from autospine.workflow.runs.folder import RunFolder

EVIDENCE = "evidence.json"
"""In the folder of a fold: what was gathered while its validation cases were predicted."""


def read_evidence(run: RunFolder, configuration: str) -> dict[str, dict[str, Any]]:
    """Case -> the evidence of its out-of-fold prediction, as it lies in JSON; empty where none was kept."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(run.model(configuration).glob(f"fold_*/{EVIDENCE}")):
        try:
            content: Any = read_json(path)
        except DataError:
            continue  # whoever needs it says so
        cases = content.get("cases") if isinstance(content, dict) else None
        held = cases.items() if isinstance(cases, dict) else ()
        found |= {case: one for case, one in held if isinstance(one, dict)}
    return found


def read_expected_dice(run: RunFolder, configuration: str, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Case -> the Dice that the network expected by its own probabilities of each of the structures called `names`.

    NaN for structures, and no entry for cases, of which it is not known.
    """
    found = {}
    for case, held in read_evidence(run, configuration).items():
        structures = held.get("structures")
        if isinstance(structures, dict):
            found[case] = tuple(expected_dice(structures.get(name)) for name in names)
    return found


def expected_dice(structure: object) -> float:
    """2 I / (P + S) of a structure's evidence; NaN where it was predicted nowhere, or a number is missing.

    P voxels were predicted, S is the sum of the structure's probabilities, I the part of it inside of what was
    predicted: the mean Dice, were the probabilities right.
    """
    if not isinstance(structure, Mapping):
        return math.nan
    numbers = [structure.get(key) for key in ("predicted_voxels", "soft_voxels", "inside")]
    if not all(isinstance(one, int | float) for one in numbers):
        return math.nan
    predicted, soft, inside = (float(one) for one in numbers if one is not None)
    return min(1.0, 2 * inside / (predicted + soft)) if predicted > 0 else math.nan
