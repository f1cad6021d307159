"""A model folder as networks in memory: `model.json` and one `model.safetensors` a fold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from autospine.errors import PlanError
from autospine.networks.build import build_network
from autospine.planning.model import WEIGHTS, ModelCard, read_model


@dataclass(frozen=True)
class Model:
    """Trained networks with the card that says what they take and give."""

    card: ModelCard
    networks: tuple[nn.Module, ...]
    """One per fold, in evaluation mode."""
    folds: tuple[str, ...]
    """Names of the folds (`0`, `1`, ...) the networks come from."""


def trained_folds(folder: Path) -> tuple[str, ...]:
    """Folds of a model folder whose training has ended."""
    return tuple(sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{WEIGHTS}")))


def load_model(folder: Path, device: torch.device, folds: tuple[str, ...] | None = None) -> Model:
    """The networks of `folds` (None: all that are trained) of a model folder, on `device`.

    Raises:
        PlanError: no card, no trained fold, a fold that is not there, or weights that do not fit the card.
    """
    card = read_model(folder)
    there = trained_folds(folder)
    if not there:
        remedy = "run train to its end first"
        raise PlanError(str(folder), "no fold of this model has been trained", f"fold_<k>/{WEIGHTS}", remedy)
    wanted = there if folds is None else folds
    missing = [fold for fold in wanted if fold not in there]
    if missing:
        found = f"no trained fold {', '.join(missing)}"
        raise PlanError(str(folder), found, f"one of {', '.join(there)}", "choose with --folds, or train it")
    return Model(card, tuple(_load_network(folder / f"fold_{fold}" / WEIGHTS, card, device) for fold in wanted), wanted)


def _load_network(path: Path, card: ModelCard, device: torch.device) -> nn.Module:
    network = build_network(card.configuration.network, card.configuration.patch)
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError, OSError) as error:
        found = f"these weights do not fit model.json ({str(error).splitlines()[0]})"
        raise PlanError(
            str(path), found, "the weights that were trained with it", "copy the model folder whole"
        ) from error
    return network.to(device).eval()
