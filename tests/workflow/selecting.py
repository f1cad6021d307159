"""Folds that nobody trained, with all that a training leaves: what is chosen among them takes no time to make."""

from __future__ import annotations

from pathlib import Path

import torch

from autospine.data.disk.files import write_text
from autospine.data.folds import read_folds
from autospine.networks.unet import UNet
from autospine.planning.document.model_file import write_model, write_previous
from autospine.preprocessing.keys import stored_key
from autospine.training.checkpoint import save_weights
from autospine.workflow.runs.folder import RECORD, RunFolder


def put_fold(run: RunFolder, name: str, fold: int, seed: int = 0) -> Path:
    """A fold of the configuration `name` with random weights."""
    plan = run.read_plan()
    card, folder = plan.card(name), run.fold(name, fold)
    write_model(run.model(name), card)
    torch.manual_seed(1000 * fold + seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, UNet(card.configuration.network, card.configuration.patch))
    if card.configuration.previous is not None:
        write_previous(folder, {})
    split, key = read_folds(run.splits)[fold], stored_key(plan, card.configuration)
    lines = ["[split]", f"train = {list(split.train)}", f"validation = {list(split.validation)}"]
    write_text(folder / RECORD, "\n".join([*lines, "[data]", f'prepared = "{key}"', ""]).replace("'", '"'))
    return folder
