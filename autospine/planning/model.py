"""`model.json`: what prediction needs to know beside the weights.

A model folder moves as one piece; a cascade's needs that of its previous stage, with the same folds, beside it:

    3d_lowres/             model.json   fold_0/model.safetensors
    3d_cascade_fullres/    model.json   fold_0/model.safetensors, previous.json (the weights it was trained on)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from autospine.data.files import read_json, write_json
from autospine.errors import PlanError
from autospine.planning.parts import IntensityPlan
from autospine.planning.plan import Configuration, Plan, configuration_from_dict, configuration_to_dict

MODEL = "model.json"
WEIGHTS = "model.safetensors"
"""Weights of a trained fold, in `fold_<k>` beside `model.json`."""
BEST = "best.safetensors"
"""Weights of a fold whose training has not ended: the best so far, with where they stand in the file's metadata."""
PREVIOUS = "previous.json"
"""In a cascade's `fold_<k>`: fold of the previous stage -> SHA-256 of its weights, which it was trained on."""
SCHEMA = 3


@dataclass(frozen=True)
class ModelCard:
    """One configuration of a plan with the names that its inputs and outputs go by."""

    dataset: str
    """Dataset it was trained on."""
    channels: tuple[str, ...]
    """Channel names in the order the network takes them."""
    labels: tuple[tuple[str, int], ...]
    """(name, value on disk) of each class."""
    intensities: tuple[IntensityPlan, ...]
    """One per channel."""
    configuration: Configuration

    def takes_weights_of(self, other: ModelCard) -> bool:
        """Whether weights trained under `other` mean the same here.

        What enters the network and what its outputs are must agree; what it was trained by (batch, loss, schedule),
        what that takes and how densely tiles overlap may differ.
        """
        return self._meaning == other._meaning

    @property
    def _meaning(self) -> tuple[object, ...]:
        """What the weights and a prediction's meaning depend on."""
        one = self.configuration
        prepared = (one.axis_order, one.spacing_mm, one.normalisation, one.use_mask, one.resampling)
        entering = (
            one.patch,
            one.neighbours,
            one.previous,
            one.network,
            one.training.mirror_axes,
            one.sides,
            one.optional_channels,
            one.regions,
        )
        return self.channels, self.labels, self.intensities, prepared, entering

    @property
    def targets(self) -> tuple[tuple[str, int | tuple[int, ...]], ...]:
        """(name, class index, or those of a region) of what is segmented."""
        regions, names = self.configuration.regions, self.configuration.targets([name for name, _ in self.labels])
        return tuple(zip(names, range(1, len(names) + 1) if regions is None else regions.classes, strict=True))

    @staticmethod
    def from_plan(plan: Plan, configuration: Configuration) -> ModelCard:
        """The card of `configuration` within `plan`."""
        return ModelCard(plan.dataset, plan.channels, plan.labels, plan.intensities, configuration)


def write_model(folder: Path, card: ModelCard) -> None:
    """Write `model.json` in `folder`."""
    content = {"schema": SCHEMA, **asdict(card), "configuration": configuration_to_dict(card.configuration)}
    write_json(folder / MODEL, content)


def read_model(folder: Path) -> ModelCard:
    """The card of a model folder.

    Raises:
        PlanError: no such folder or card, or one that this version cannot read.
    """
    path = folder / MODEL
    remedy = "give --model the folder runs/<dataset>/<configuration> of a finished training"
    if not path.is_file():
        raise PlanError(str(path), "no such file", "a model folder with model.json", remedy)
    content = read_json(path)
    where = str(path)
    try:
        if content["schema"] != SCHEMA:
            raise PlanError(where, f"schema {content['schema']}", f"schema {SCHEMA}", "use the version that wrote it")
        return ModelCard(
            str(content["dataset"]),
            tuple(str(name) for name in content["channels"]),
            tuple((str(name), int(value)) for name, value in content["labels"]),
            tuple(
                IntensityPlan(**{key: float(number) for key, number in one.items()}) for one in content["intensities"]
            ),
            configuration_from_dict(content["configuration"], where),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(where, f"not a model card ({error!r})", "the file that train wrote", remedy) from error


def fold_weights(folder: Path, fold: int | str) -> Path:
    """The weights that a fold of the model folder `folder` predicts with: those of its end, else the best so far."""
    place = folder / f"fold_{fold}"
    return place / (WEIGHTS if (place / WEIGHTS).is_file() or not (place / BEST).is_file() else BEST)


def weights_digest(folder: Path, fold: int | str) -> str:
    """SHA-256 of the weights that a fold of the model folder `folder` predicts with."""
    with fold_weights(folder, fold).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_previous(fold_folder: Path, digests: Mapping[int, str]) -> None:
    """Write in a cascade's fold which weights of the previous stage, by fold, it was trained on."""
    write_json(fold_folder / PREVIOUS, {str(fold): digest for fold, digest in digests.items()})


def read_previous(fold_folder: Path) -> dict[str, str]:
    """What `write_previous` wrote: fold of the previous stage -> SHA-256 of its weights.

    Raises:
        PlanError: there is no such file, or it holds something else.
    """
    path, remedy = fold_folder / PREVIOUS, "copy the model folder whole, or train this fold again with --overwrite"
    if not path.is_file():
        found = "no such file: nobody knows which weights this fold was trained on"
        raise PlanError(str(path), found, "the file that train wrote", remedy)
    content = read_json(path, PlanError)
    if not isinstance(content, dict) or not all(isinstance(digest, str) for digest in content.values()):
        raise PlanError(str(path), "not a table of folds", "the file that train wrote", remedy)
    return content
