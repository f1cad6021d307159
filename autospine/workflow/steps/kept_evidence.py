"""What a run has kept of its out-of-fold predictions: a help for who judges masks and scans, and never a need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autospine.errors import PlanError
from autospine.planning.document.evidence import Evidence
from autospine.workflow.steps import promise
from autospine.workflow.steps.evidence import read_evidence


def out_of_fold_evidence(model: Path, tell: Callable[[str], None]) -> dict[str, Evidence]:
    """Case -> the evidence of its out-of-fold prediction, of the folds of a model folder that have kept it.

    A file that is no evidence is told and passed over.
    """
    found: dict[str, Evidence] = {}
    for folder in sorted(model.glob("fold_*")):
        try:
            found |= read_evidence(folder) or {}
        except PlanError as fault:
            tell(f"Passed over: {fault.where}: {fault.found}")
    return found


def promised_out_of_fold(model: Path) -> dict[tuple[str, str], float]:
    """(case, structure) -> the Dice that the cases of all other folds promise of an out-of-fold prediction.

    Nothing where these are too few, or cannot be read. The promise of the model itself has learnt from the case, and so
    from the mask that is to be judged.
    """
    try:
        said = promise.promised_out_of_fold(promise.known_cases(model))
    except PlanError:
        return {}  # whoever needs it says so
    return {
        (case, one.structure): one.promised_dice
        for case, promised in said.items()
        for one in promised.structures
        if one.promised_dice is not None
    }
