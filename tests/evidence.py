"""Evidence of cases that nobody predicted, for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autospine.evaluation.promise import Known
from autospine.planning.document.evidence import ChannelEvidence, Evidence, StructureEvidence

NAMES = ("upper", "lower")
CHANNEL = ChannelEvidence(
    (-2.0, -1.5, -0.5, 0.0, 0.5, 1.5, 2.0), (0.4, 0.3, 0.2), 0.05, 0.25, tuple(place / 27 for place in range(27))
)


def structure_of(expected: float, volume_mm3: float = 1000.0, **more: Any) -> StructureEvidence:
    """A structure of 1000 voxels whose probabilities speak for this Dice."""
    sure = {"entropy": 0.2, "islands": 1, "largest": 1.0, "edge": 0.0}
    return StructureEvidence(1000, 1000.0, 1000.0 * expected, volume_mm3=volume_mm3, **sure | more)


def missing() -> StructureEvidence:
    """One that was not found."""
    return StructureEvidence(0, 3.0, 0.0, 0.9)


def evidence_of(structures: Mapping[str, StructureEvidence], **more: Any) -> Evidence:
    known: dict[str, Any] = {"channels": (CHANNEL,), "spacing_mm": (3.0, 1.0, 1.0), "size_mm": (60.0, 200.0, 100.0)}
    return Evidence(structures=structures, **known | more)


def cases_like(
    count: int, seed: int = 0, *, folds: int = 5, off: float = 0.3, names: Sequence[str] = NAMES
) -> list[Known]:
    """Cases of structures whose Dice is, as a logit, what they expect and normal noise of deviation `off`."""
    rng = np.random.default_rng(seed)
    known = []
    for number in range(count):
        structures, dice = {}, {}
        for name in names:
            logit = rng.normal(2.0, 0.7)
            true = logit + rng.normal(0, off)
            structures[name] = structure_of(1 / (1 + math.exp(-logit)), float(np.exp(rng.normal(7, 0.1))))
            dice[name] = 1 / (1 + math.exp(-true))
        size = (60.0, 200.0 * float(np.exp(rng.normal(0, 0.02))), 100.0)
        layout = tuple((np.array(CHANNEL.layout) + rng.normal(0, 0.1, 27)).tolist())
        channel = ChannelEvidence(
            tuple((np.array(CHANNEL.percentiles) + rng.normal(0, 0.05, 7)).tolist()),
            CHANNEL.gradient,
            CHANNEL.noise * float(np.exp(rng.normal(0, 0.1))),
            CHANNEL.background,
            layout,
        )
        evidence = evidence_of(structures, size_mm=size, channels=(channel,))
        name = f"case_{number:03}"
        known.append(Known(name, name, str(number % folds), evidence, dice))
    return known
