"""Tiny trainings on phantoms, each as lines: hashes of weights and masks, the history, the scores.

`with_cascade` and the calls of the workflow in `made_by` are all that depends on how autospine is made up inside. The
precision is pinned and one thread computes, so that the same code gives the same bits on one machine.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from autospine.data.structure import Reading
from autospine.data.volume import read_volume, write_volume
from autospine.machine.precision import pinned
from autospine.phantom.dataset import write_phantom
from autospine.planning.document.plan import Plan
from autospine.planning.document.plan_file import plan_to_toml
from autospine.workflow.plan import PlanRequest, plan_dataset
from autospine.workflow.predict import PredictRequest, predict_paths
from autospine.workflow.runs.folder import RunFolder
from autospine.workflow.train import TrainRequest, train_folds

BASE: Mapping[str, Any] = {
    "base_features": 4,
    "max_features_2d": 8,
    "max_features_3d": 8,
    "epochs": 2,
    "steps_per_epoch": 3,
    "validation_steps": 1,
}
LEVELS = {"background": 0, "L5": 1, "L4": 2, "L3": 3, "L2": 4, "L1": 5}
REGIONS = {"background": 0, "column": [1, 2, 3, 4, 5], "lower": [1, 2], "disc": 6, "canal": 7}
SIDES = {"background": 0, "left_a": 1, "right_a": 2, "left_b": 3, "right_b": 4, "c": 5, "disc": 6, "canal": 7}
ADAPTIVE = {"loss": "dice_size_adaptive_ce"}


@dataclass(frozen=True)
class Training:
    """What is trained, one fold of it."""

    name: str
    configuration: str
    choices: Mapping[str, Any] = field(default_factory=dict)
    """Of the recipe, beside `BASE`."""
    phantom: str = "spine"
    description: Mapping[str, Any] = field(default_factory=dict)
    """What is changed in the phantom's dataset.json; masks lose what is above its last label."""


TRAININGS = (
    Training("2d", "2d"),
    Training("2.5d", "2.5d"),
    Training("3d_fullres", "3d_fullres"),
    Training("residual", "3d_fullres", {"encoder": "residual", "mirror": "all"}),
    Training("lumbar", "2d", ADAPTIVE | {"bottleneck": "msff", "optimiser": "adamw"}),
    Training("cascade", "3d_cascade_fullres"),
    Training("regions", "3d_fullres", ADAPTIVE, description={"labels": REGIONS, "regions_class_order": [3, 1, 6, 7]}),
    Training("levels", "2d", description={"labels": LEVELS}),
    Training("sides", "3d_fullres", description={"labels": SIDES}),
    Training("presence", "2.5d", {"channel_dropout": 0.5}, "metastases"),
    Training("component", "3d_fullres", ADAPTIVE | {"unit": "component", "foreground_jitter": 0.5}, "metastases"),
    Training("batch", "2d", ADAPTIVE | {"size_source": "batch"}),
)


def trainings() -> Iterator[tuple[str, list[str]]]:
    """(name, lines) of every training."""
    torch.set_num_threads(1)
    for training in TRAININGS:
        with tempfile.TemporaryDirectory() as place, pinned("float32"):
            yield training.name, made_by(training, Path(place))


def made_by(training: Training, home: Path) -> list[str]:
    """The lines of what a training and its predictions made in the empty folder `home`."""
    dataset, recipe, runs, out = (home / name for name in ("data", "tiny.toml", "runs", "out"))
    _write_dataset(dataset, training)
    recipe.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in (BASE | training.choices).items()))
    reading = Reading(allow_missing=training.phantom == "metastases")
    run = plan_dataset(dataset, runs, PlanRequest(recipe=str(recipe), device="cpu", reading=reading)).folder
    folders = []
    if training.name == "cascade":
        run.plan.write_text(plan_to_toml(with_cascade(run.read_plan())))
        folders += list(_train(dataset, run, "3d_lowres", "all"))
    folders += list(_train(dataset, run, training.configuration, "0"))
    lines = [line for folder in folders for line in _made_in(folder)]
    model = run.model(training.configuration)
    predict_paths(dataset / "imagesTs", out, runs, PredictRequest(model=model, folds=("0",), device="cpu"))
    return [*lines, *_masks(out, "predicted")]


def _write_dataset(dataset: Path, training: Training) -> None:
    """The phantom, three cases to train on and two to predict, as the training would have it."""
    write_phantom(dataset, scenario=training.phantom, cases=3, test_cases=2)  # type: ignore[arg-type]
    manifest = dataset / "dataset.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | dict(training.description)))
    if training.description.get("labels") == LEVELS:
        for path in (dataset / "labelsTr").iterdir():
            mask = read_volume(path)
            write_volume(path, replace(mask, array=np.where(mask.array > len(LEVELS) - 1, 0, mask.array)))


def with_cascade(plan: Plan) -> Plan:
    """`plan` with a low resolution, of half the edges in plane, and a cascade on it, whatever the rules say."""
    full = plan.configuration("3d_fullres")
    halved = tuple(max(1, edge // 2) if at else edge for at, edge in enumerate(full.median_shape))
    doubled = tuple(step * 2 if at else step for at, step in enumerate(full.spacing_mm))
    low = replace(full, name="3d_lowres", spacing_mm=doubled, median_shape=halved)
    network = replace(full.network, in_channels=full.network.in_channels + plan.data.classes)
    cascade = replace(full, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    return replace(plan, configurations=(full, low, cascade), default="3d_fullres", reasons={})


def _train(dataset: Path, run: RunFolder, configuration: str, folds: str) -> Iterator[Path]:
    """The folders of trained folds."""
    request = TrainRequest(configuration=configuration, device="cpu", workers=0)
    for trained in train_folds(dataset, folds, run.root.parent, request):
        yield trained.folder


def _made_in(fold: Path) -> list[str]:
    """Weights, history, validation masks and scores of a trained fold."""
    where = f"{fold.parent.name}/{fold.name}"
    weights = load_file(fold / "model.safetensors")
    lines = [f"{where} {name} {_hash(tensor.numpy())}" for name, tensor in sorted(weights.items())]
    with (fold / "history.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            del row["seconds"]
            lines.append(f"{where} epoch {json.dumps(row)}")
    lines += _masks(fold / "validation", f"{where} validation")
    scores = json.loads((fold / "metrics.json").read_text(encoding="utf-8"))
    return lines + [f"{where} scores {line}" for line in json.dumps(scores, indent=1, sort_keys=True).splitlines()]


def _masks(folder: Path, what: str) -> list[str]:
    """A line for each mask of a folder."""
    return [f"{what} {path.name} {_hash(read_volume(path).array)}" for path in sorted(folder.glob("*.nii.gz"))]


def _hash(array: Any) -> str:
    """Shape, type and SHA-256 of an array, and how many different values it holds."""
    whole = np.ascontiguousarray(array)
    digest = hashlib.sha256(whole.tobytes()).hexdigest()
    return f"{whole.dtype} {list(whole.shape)} {len(np.unique(whole))} values {digest}"
