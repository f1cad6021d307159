"""Model folders that promise something, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from autospine.evaluation.promise import Known
from autospine.workflow.steps.evidence import write_evidence
from tests.evidence import cases_like

STRUCTURES = ("upper", "middle", "lower")
"""Those of `predicting.made_model`."""


def write_known(model: Path, cases: Sequence[Known]) -> None:
    """Evidence and scores of these cases, in the folders of their folds."""
    for fold in sorted({known.fold for known in cases}):
        place = model / f"fold_{fold}"
        place.mkdir(parents=True, exist_ok=True)
        own = [known for known in cases if known.fold == fold]
        write_evidence(place, {known.case: known.evidence for known in own})
        scores = [
            {"case": known.case, "classes": {name: {"dice": known.dice.get(name)} for name in STRUCTURES}}
            for known in own
        ]
        (place / "metrics.json").write_text(json.dumps({"mean": {"dice": 0.9}, "classes": {}, "cases": scores}))


def taught(model: Path, count: int = 30, **more: int) -> list[Known]:
    """The cases that `count` of have taught a model whose promise is still to be learnt."""
    cases = cases_like(count, names=STRUCTURES, **more)
    write_known(model, cases)
    return cases
