"""Predictions by models that nobody trained, for tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import write_volume
from autospine.errors import AutospineError
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.model_file import WEIGHTS, write_model
from autospine.workflow.predict import Prediction, PredictRequest, predict_paths
from autospine.workflow.progress import Silent
from tests.cards import card_of

GRID = Geometry((5, 18, 17), (3.0, 1.0, 1.0), (1.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
MADE = ["prediction.json"]


def put_image(path: Path, seed: int = 0, channels: int = 1) -> Path:
    array = np.random.default_rng(seed).normal(100, 10, (channels, *GRID.shape)).astype(np.float32)
    write_volume(path, Volume(array, GRID))
    return path


def made_model(folder: Path, configuration: Configuration, seed: int, folds: tuple[str, ...] = ("0",)) -> Path:
    labels = (("upper", 1), ("middle", 2), ("lower", 3))
    write_model(folder, card_of(configuration, labels=labels, intensities=(IntensityPlan(0.0, 1.0, 0.0, 1.0),)))
    torch.manual_seed(seed)
    for fold in folds:
        (folder / f"fold_{fold}").mkdir()
        save_file(UNet(configuration.network, configuration.patch).state_dict(), folder / f"fold_{fold}" / WEIGHTS)
    return folder


class Noting(Silent):
    """A silent progress that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def predict(source: Path, target: Path, model: Path, **more: object) -> tuple[Prediction, list[str]]:
    noting = Noting()
    request = PredictRequest(model, device="cpu", mirror=False, **more)  # type: ignore[arg-type]
    return predict_paths(source, target, model, request, progress=noting).complete(), noting.notes


def refused(source: Path, target: Path, model: Path, **more: object) -> str:
    with pytest.raises(AutospineError) as fault:
        predict(source, target, model, **more)
    return str(fault.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def cases(record: Path) -> dict[str, dict[str, str]]:
    content: dict[str, dict[str, str]] = json.loads(record.read_text())["cases"]
    return content


def failures(out: Path) -> set[str]:
    """The cases that a folder says could not be segmented: the record and the table agree."""
    kept: dict[str, dict[str, str]] = json.loads((out / "prediction.json").read_text())["failed"]
    table = out / "failed.csv"
    if table.exists():
        with table.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["case"]: row["found"] for row in rows} == {name: one["found"] for name, one in kept.items()}
    else:
        assert not kept
    return set(kept)
