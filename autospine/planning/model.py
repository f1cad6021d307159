"""`model.json`: what prediction needs to know beside the weights; a model folder moves as one piece."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from autospine.data.files import read_json, write_json
from autospine.errors import PlanError
from autospine.planning.plan import (
    Configuration,
    IntensityPlan,
    Plan,
    configuration_from_dict,
    configuration_to_dict,
)

MODEL = "model.json"
WEIGHTS = "model.safetensors"
"""Weights of a trained fold, in `fold_<k>` beside `model.json`."""
SCHEMA = 1


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
        """Whether weights trained under `other` mean the same here; schedules and what they take may differ."""
        mine, theirs = self.configuration, other.configuration
        mirrored_alike = mine.training.mirror_axes == theirs.training.mirror_axes
        alike = replace(theirs, training=mine.training, expected=mine.expected)
        return mirrored_alike and self == replace(other, configuration=alike)

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
