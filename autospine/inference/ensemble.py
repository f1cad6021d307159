"""A model folder as networks in memory: `model.json` and one `model.safetensors` a fold.

A fold whose training was stopped has `best.safetensors` in its place, and serves where no fold that is done does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from autospine.errors import PlanError
from autospine.inference.room import check_tile
from autospine.networks.weights import load_network, read_metadata
from autospine.planning.model import (
    BEST,
    MODEL,
    PREVIOUS,
    WEIGHTS,
    ModelCard,
    fold_weights,
    read_model,
    read_previous,
    weights_digest,
)


@dataclass(frozen=True)
class Model:
    """Trained networks with the card that says what they take and give."""

    card: ModelCard
    networks: tuple[nn.Module, ...]
    """One per fold, in evaluation mode."""
    folds: tuple[str, ...]
    """Names of the folds (`0`, `1`, ...) the networks come from."""
    unfinished: tuple[str, ...] = ()
    """A sentence for each of them that is not trained to its end."""


def trained_folds(folder: Path) -> tuple[str, ...]:
    """Folds of a model folder that have the weights of their end."""
    return _folds_with(folder, WEIGHTS)


def _folds_with(folder: Path, weights: str) -> tuple[str, ...]:
    return tuple(sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{weights}")))


def load_model(folder: Path, device: torch.device, folds: tuple[str, ...] | None = None) -> Model:
    """The networks of `folds` of a model folder, on `device`.

    None: all folds that are trained to their end, or where none is, all that have been stopped. A fold that is named
    and was stopped has the best weights so far.

    Raises:
        PlanError: no card or a faulty one, no trained fold, a fold that is not there, weights that cannot be read, do
            not fit the card or hold what is no number, or a patch that the device cannot hold.
    """
    card = read_model(folder)
    check_tile(card.configuration, device)
    ended, stopped = trained_folds(folder), _folds_with(folder, BEST)
    there = tuple(sorted({*ended, *stopped}))
    if not there:
        remedy = "run train first; from its first checkpoint on, after two minutes, a fold can predict"
        raise PlanError(str(folder), "no fold of this model has been trained", f"fold_<k>/{WEIGHTS}", remedy)
    wanted = ended or stopped if folds is None else folds
    missing = [fold for fold in wanted if fold not in there]
    if missing:
        found = f"no trained fold {', '.join(missing)}"
        raise PlanError(str(folder), found, f"one of {', '.join(there)}", "choose with --folds, or train it")
    unfinished = tuple(_describe_unfinished(folder, fold) for fold in wanted if fold not in ended)
    networks = tuple(_load_network(fold_weights(folder, fold), card, device) for fold in wanted)
    return Model(card, networks, wanted, unfinished)


def _describe_unfinished(folder: Path, fold: str) -> str:
    """What is to be said of a fold whose training was stopped."""
    about = read_metadata(folder / f"fold_{fold}" / BEST)  # what is wrong with it is said where it is loaded
    told = f"Fold {fold} of {folder.name} is not trained to its end"
    if "moving_dice" not in about:
        return f"{told}: newest weights so far, after {about.get('step', 'some')} steps"
    whole = f" of {about['epochs']}" if "epochs" in about else ""
    return f"{told}: best weights so far, of epoch {about.get('epoch')}{whole}"


def previous_folder(folder: Path, card: ModelCard) -> Path | None:
    """The model folder of the stage that a cascade starts from: it stands beside its own. None without such a stage."""
    name = card.configuration.previous
    if name is None:
        return None
    return folder.resolve().parent / name


def load_previous(folder: Path, model: Model, device: torch.device) -> Model | None:
    """The networks that the cascade `model` from `folder` starts from, of the same folds; None where it is no cascade.

    Raises:
        PlanError: that model or one of the folds is missing, or is another one than the cascade was trained on.
    """
    there = previous_folder(folder, model.card)
    if there is None:
        return None
    name = model.card.configuration.name
    if not (there / MODEL).is_file():
        found = f"no model here, and {name} starts from its segmentations"
        remedy = f"train {there.name}, or copy its folder beside that of {name}"
        raise PlanError(str(there), found, f"the model folder of {there.name}", remedy)
    previous = load_model(there, device, model.folds)
    mine, its = model.card, previous.card
    if (its.channels, its.labels, its.configuration.previous) != (mine.channels, mine.labels, None):
        found = f"another model than {name} was trained on: its channels, labels or stages differ"
        raise PlanError(str(there), found, f"the {there.name} of the same plan", "copy both model folders together")
    _check_trained_on(folder, model, there)
    return previous


def _check_trained_on(folder: Path, model: Model, there: Path) -> None:
    """Raise `PlanError` unless the cascade's folds were trained on the weights that stand in `there`."""
    digests = {fold: weights_digest(there, fold) for fold in model.folds}
    for fold in model.folds:
        known = read_previous(folder / f"fold_{fold}")
        # a fold that validates none of the cascade's cases had no part in its training
        other = [first for first, digest in digests.items() if known.get(first, digest) != digest]
        if other:
            found = f"fold {fold} was trained on another {there.name} (fold(s) {', '.join(other)} have other weights)"
            remedy = "copy both model folders together, or train this fold again with --overwrite"
            raise PlanError(str(folder / f"fold_{fold}" / PREVIOUS), found, f"the weights in {there}", remedy)


def _load_network(path: Path, card: ModelCard, device: torch.device) -> nn.Module:
    return load_network(path, card.configuration.network, card.configuration.patch).to(device)
