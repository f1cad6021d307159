"""Which configurations of a run are trained, in which folds, and whether by the plan and the data as they stand.

A fold that was trained otherwise is refused before anything is predicted: what it says would be compared with what
others say of other cases. Of a cascade that goes for the previous stage, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autospine.data.disk.files import file_digest, json_digest
from autospine.data.folds import Fold
from autospine.errors import PlanError
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import (
    MODEL,
    WEIGHTS,
    fold_folder,
    read_model,
    read_previous,
    weights_digest,
)
from autospine.planning.document.plan import Plan
from autospine.preprocessing.keys import stored_key
from autospine.workflow.runs.folder import RunFolder, read_record

FORMAT = 2
"""Grows when the numbers that are kept of a case change their meaning; part of their key."""


@dataclass(frozen=True)
class Trained:
    """A configuration with the folds of it that are trained to their end."""

    name: str
    card: ModelCard
    folder: Path
    """The model folder."""
    fold_of: Mapping[str, str]
    """Case -> the fold whose network did not train on it."""
    weights: Mapping[str, str]
    """Fold -> SHA-256 of its weights."""
    key: str
    """Hash of all else that its predictions depend on."""

    def key_of(self, case: str) -> str:
        """Hash of what the prediction of a case comes from."""
        return json_digest([FORMAT, self.key, self.weights[self.fold_of[case]]])


def find_trained(run: RunFolder, plan: Plan, folds: Sequence[Fold], names: Sequence[str]) -> tuple[Trained, ...]:
    """The configurations of a plan that are trained, of these `names` or, without any, of all; in the plan's order.

    Raises:
        PlanError: one that is named is not there or not trained, none is, or a fold was trained by another plan; a fold
            of a cascade on other weights of its previous stage than those that are there now.
    """
    known = [configuration.name for configuration in plan.configurations]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise PlanError(str(run.plan), f"no configuration {', '.join(unknown)}", f"some of {', '.join(known)}")
    found = [_trained(run, plan, name, folds) for name in known if name in (names or known)]
    untrained = [one.name for one in found if names and not one.fold_of]
    there = tuple(one for one in found if one.fold_of)
    if untrained or not there:
        named = ", ".join(untrained) or "any configuration"
        remedy = "train folds with `autospine train DATASET FOLD -c CONFIGURATION`; one fold is enough to begin with"
        raise PlanError(str(run.root), f"no fold of {named} is trained", "a trained fold with validation cases", remedy)
    return there


def _trained(run: RunFolder, plan: Plan, name: str, folds: Sequence[Fold]) -> Trained:
    """A configuration with its trained folds, of which there may be none."""
    card, folder = plan.card(name), run.model(name)
    fold_of, weights = dict[str, str](), dict[str, str]()
    key = stored_key(plan, card.configuration)
    started = _started_from(run, card)
    for number, split in enumerate(folds):
        place = fold_folder(folder, number)
        record = read_record(place)
        if record is None or not (place / WEIGHTS).is_file():
            continue
        if record.get("data", {}).get("prepared", key) != key:
            found = f"fold {number} of {name} was trained on other data or by another plan"
            remedy = f"train it again with --overwrite, or leave {name} out by naming others with --configuration"
            raise PlanError(str(place), found, "the plan and the data as they stand", remedy)
        if card.configuration.previous is not None:
            _check_started_from(place, name, card.configuration.previous, started)
        validation = record.get("split", {}).get("validation", split.validation)
        weights[str(number)] = weights_digest(folder, number)
        fold_of |= {case: str(number) for case in validation if case not in fold_of}
    if not fold_of:
        return Trained(name, card, folder, {}, {}, "")
    own = read_model(folder)
    # a cascade's cases start from what the previous stage says of them
    whole = json_digest([key, file_digest(folder / MODEL, PlanError), *sorted(started.items())])
    return Trained(name, own, folder, fold_of, weights, whole)


def _started_from(run: RunFolder, card: ModelCard) -> dict[str, str]:
    """Fold -> SHA-256 of its weights in the previous stage of a cascade as they are now; nothing of other cards."""
    if card.configuration.previous is None:
        return {}
    model = run.model(card.configuration.previous)
    there = (path.parent.name.removeprefix("fold_") for path in model.glob(f"fold_*/{WEIGHTS}"))
    return {fold: weights_digest(model, fold) for fold in there if fold.isdecimal()}


def _check_started_from(place: Path, name: str, first: str, started: Mapping[str, str]) -> None:
    """Raise `PlanError` unless a cascade's fold in `place` was trained on these weights of `first`, where it starts.

    No prediction would use it either.
    """
    known = read_previous(place)
    other = sorted(fold for fold, digest in started.items() if known.get(fold, digest) != digest)
    if other:
        found = f"trained on another {first}, of which fold(s) {', '.join(other)} have other weights now"
        remedy = f"train it again with --overwrite, or leave {name} out by naming others with --configuration"
        raise PlanError(str(place), found, f"{first} as it stands", remedy)
