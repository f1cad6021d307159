"""`model.json`: what prediction needs to know beside the weights.

A model folder moves as one piece; a cascade's needs that of its previous stage, with the same folds, beside it:

    3d_lowres/             model.json   fold_0/model.safetensors
    3d_cascade_fullres/    model.json   fold_0/model.safetensors, previous.json (the weights it was trained on)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autospine.data.disk.files import file_digest, read_json, write_json
from autospine.errors import PlanError
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, from_table, shown, to_table
from autospine.planning.document.model_card import ModelCard

MODEL = "model.json"
WEIGHTS = "model.safetensors"
"""Weights of a trained fold, in `fold_<k>` beside `model.json`."""
BEST = "best.safetensors"
"""Weights of a fold whose training has not ended: the best so far, with where they stand in the file's metadata."""
PREVIOUS = "previous.json"
"""In a cascade's `fold_<k>`: fold of the previous stage -> SHA-256 of its weights, which it was trained on."""
MODEL_SCHEMA = 4


def write_model(folder: Path, card: ModelCard) -> None:
    """Write `model.json` in `folder`."""
    write_json(folder / MODEL, {"schema": MODEL_SCHEMA, **to_table(card)})


def read_model(folder: Path) -> ModelCard:
    """The card of a model folder, of which every value is within what a plan may hold.

    Raises PlanError for no card, one that this version cannot read, and values that a plan may not hold (all listed).
    """
    path = folder / MODEL
    remedy = "give --model the folder runs/<dataset>/<configuration> of a finished training"
    try:
        content = read_json(path, PlanError, MOST_DOCUMENT_BYTES)
    except PlanError as error:
        expected = error.expected or "a model folder with model.json"
        raise PlanError(error.where, error.found, expected, error.remedy or remedy) from error
    where = str(path)
    if not isinstance(content, dict):
        raise PlanError(where, "not a model card", "the file that train wrote", remedy)
    schema = content.pop("schema", None)
    if schema != MODEL_SCHEMA:
        raise PlanError(where, f"schema {shown(schema)}", f"schema {MODEL_SCHEMA}", "use the version that wrote it")
    return from_table(ModelCard, content, where, "copy the model folder again, or ask who gave it")


def fold_folder(folder: Path, fold: int | str) -> Path:
    """Where a fold of the model folder `folder` lies."""
    return folder / f"fold_{fold}"


def fold_weights(folder: Path, fold: int | str) -> Path:
    """The weights that a fold of the model folder `folder` predicts with: those of its end, else the best so far."""
    place = fold_folder(folder, fold)
    return place / (WEIGHTS if (place / WEIGHTS).is_file() or not (place / BEST).is_file() else BEST)


def weights_digest(folder: Path, fold: int | str) -> str:
    """SHA-256 of the weights that a fold of the model folder `folder` predicts with; `PlanError` if unreadable."""
    return file_digest(fold_weights(folder, fold), PlanError)


def write_previous(fold_folder: Path, digests: Mapping[int, str]) -> None:
    """Write in a cascade's fold which weights of the previous stage, by fold, it was trained on."""
    write_json(fold_folder / PREVIOUS, {str(fold): digest for fold, digest in digests.items()})


def read_previous(fold_folder: Path) -> dict[str, str]:
    """What `write_previous` wrote; PlanError where there is no such file, or it holds something else."""
    path, remedy = fold_folder / PREVIOUS, "copy the model folder whole, or train this fold again with --overwrite"
    if not path.is_file():
        found = "no such file: nobody knows which weights this fold was trained on"
        raise PlanError(str(path), found, "the file that train wrote", remedy)
    content = read_json(path, PlanError, MOST_DOCUMENT_BYTES)
    if not isinstance(content, dict) or not all(isinstance(digest, str) for digest in content.values()):
        raise PlanError(str(path), "not a table of folds", "the file that train wrote", remedy)
    return content
