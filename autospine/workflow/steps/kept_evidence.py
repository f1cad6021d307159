"""What a run has kept of its out-of-fold predictions: a help for who judges masks and scans, and never a need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from autospine.errors import PlanError
from autospine.planning.document.evidence import Evidence
from autospine.planning.document.promise import read_promise
from autospine.planning.document.promised import promised
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


def promised_dice(model: Path, evidence: Mapping[str, Evidence]) -> dict[tuple[str, str], float]:
    """(case, structure) -> the Dice that the model promises of a prediction with this evidence, where it does."""
    try:
        promise = read_promise(model)
    except PlanError:
        return {}  # whoever needs it says so
    if promise is None:
        return {}
    said = {case: promised(promise, one).structures for case, one in evidence.items()}
    return {
        (case, one.structure): one.promised_dice
        for case, structures in said.items()
        for one in structures
        if one.promised_dice is not None
    }
