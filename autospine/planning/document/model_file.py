"""`model.json`: what prediction needs to know beside the weights.

A model folder moves as one piece; a cascade's needs that of its previous stage, with the same folds, beside it:

    3d_lowres/             model.json   fold_0/model.safetensors
    3d_cascade_fullres/    model.json   fold_0/model.safetensors, previous.json (the weights it was trained on)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from autospine.data.disk.files import file_digest, read_json, write_json
from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.convert import MOST_DOCUMENT_BYTES, Reader, shown, to_table
from autospine.planning.document.data import DataPlan, LevelsPlan, PresencePlan
from autospine.planning.document.model_card import RIGHT_TO_LEFT, ModelCard
from autospine.planning.document.plain import PLAIN, are_plain

MODEL = "model.json"
WEIGHTS = "model.safetensors"
"""Weights of a trained fold, in `fold_<k>` beside `model.json`."""
BEST = "best.safetensors"
"""Weights of a fold whose training has not ended: the best so far, with where they stand in the file's metadata."""
PREVIOUS = "previous.json"
"""In a cascade's `fold_<k>`: fold of the previous stage -> SHA-256 of its weights, which it was trained on."""
CALIBRATION = "calibration.json"
"""Beside `model.json`, where it was measured: the temperature that logits are divided by for probabilities."""
MODEL_SCHEMA = 3
_ADDED = {"narrow_view": 0.0, "random_contrast": 0.0}
"""Keys of a training that came later, with what models of before were trained by."""


@dataclass(frozen=True)
class _Sides:
    """Classes that swap, as a card has them: beside the patch axis along which they do."""

    axis: int
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Regions:
    """Regions as a card has them: column by column, of classes instead of values."""

    names: tuple[str, ...]
    classes: tuple[tuple[int, ...], ...]
    written: tuple[int, ...]


T = TypeVar("T")
TOP_KEYS = ("dataset", "channels", "labels", "intensities")
INNER_KEYS = ("sides", "presence", "regions", "levels", "expected")
"""Keys that a card has in its configuration and a plan, since its format 6, beside it or in another file."""


def write_model(folder: Path, card: ModelCard) -> None:
    """Write `model.json` in `folder`."""
    write_json(folder / MODEL, {"schema": MODEL_SCHEMA, **_to_file(card)})


def _to_file(card: ModelCard) -> dict[str, Any]:
    """A card in the format of its file, which has been the same since before plans hold their data once."""
    data, configuration = card.data, card.configuration
    regions, levels = data.regions, data.levels
    if levels is not None:
        levels = replace(levels, axis=configuration.axis_order.index(levels.axis))
    known = {
        "sides": None if card.sides_axis is None else _Sides(card.sides_axis, data.sides),
        "presence": data.presence,
        "regions": _Regions(tuple(one.name for one in regions), data.members, data.written) if regions else None,
        "levels": levels,
    }
    head = {key: getattr(data, key) for key in TOP_KEYS}
    table: dict[str, Any] = to_table({**head, "configuration": {**vars(configuration), **known}})
    return table


def _with_added(inner: object) -> object:
    """A configuration with the keys that came after the first cards: models of before stay readable."""
    training = inner.get("training") if isinstance(inner, dict) else None
    if not isinstance(inner, dict) or not isinstance(training, dict):
        return inner
    return {**inner, "training": {**_ADDED, **training}}


def _from_file(content: dict[str, Any], where: str) -> ModelCard:
    """The card of a file's `content`; PlanError lists all that is wrong with it."""
    reader = Reader(where, "copy the model folder again, or ask who gave it")
    inner = _with_added(content.pop("configuration", None))
    configuration = reader.table(Configuration, inner, "configuration", also=INNER_KEYS)
    told = inner if isinstance(inner, dict) else {}

    def part(kind: type[T], key: str) -> T | None:
        return None if told.get(key) is None else reader.table(kind, told[key], f"configuration.{key}")

    sides, presence = part(_Sides, "sides"), part(PresencePlan, "presence")
    regions, levels = part(_Regions, "regions"), part(LevelsPlan, "levels")
    reader.unknown(content, TOP_KEYS)
    head = reader.sound(reader.table(DataPlan, {key: content[key] for key in TOP_KEYS if key in content}))
    assert configuration is not None
    known: dict[str, Any] = {**vars(head), "presence": presence, "sides": () if sides is None else sides.pairs}
    if regions is not None:
        known["regions"] = _regions(regions, [value for _, value in head.labels], reader)
    if levels is not None:
        known["levels"] = replace(levels, axis=configuration.axis_order[levels.axis])
    if sides is not None and configuration.patch_axes[sides.axis : sides.axis + 1] != (RIGHT_TO_LEFT,):
        reader.refuse("configuration.sides.axis", sides.axis, "the patch axis from right to left")
    data = reader.sound(reader.make(DataPlan, known))
    for key, names in (("dataset", [data.dataset]), ("channels", data.channels), ("labels", data.names)):
        if not are_plain(names):
            reader.refuse(key, ascii(names), PLAIN)
    if not are_plain(data.targets):
        reader.refuse("configuration.regions.names", ascii(data.targets), PLAIN)
    return reader.sound(reader.make(ModelCard, {"data": data, "configuration": configuration}))


def _regions(told: _Regions, values: Sequence[int], reader: Reader) -> tuple[Region, ...]:
    """Regions of the labels with these `values`, as a card tells them; what is wrong goes to `reader`."""
    classes = [*told.written, *(one for held in told.classes for one in held)]
    if not len(told.names) == len(told.classes) == len(told.written):
        reader.refuse("configuration.regions.names", told.names, "a name, classes and a class written for each region")
    elif not all(0 < one <= len(values) for one in classes):
        reader.refuse("configuration.regions.classes", told.classes, f"classes from 1 to {len(values)}, the last label")
    else:
        columns = zip(told.names, told.classes, told.written, strict=True)
        return tuple(
            Region(name, tuple(values[one - 1] for one in held), values[as_one - 1]) for name, held, as_one in columns
        )
    return ()


def read_model(folder: Path) -> ModelCard:
    """The card of a model folder, of which every value is within what a plan may hold.

    Raises PlanError for no card, one that this version cannot read, and values that a plan may not hold (all listed).
    """
    path = folder / MODEL
    remedy = "give the folder runs/<dataset>/<configuration> of a training, or a .autospine file"
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
    return _from_file(content, where)


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
