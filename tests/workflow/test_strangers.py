"""Models that a stranger gave: one message, exit code 1 and nothing written, or a segmentation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from autospine.cli.app import app
from autospine.data.geometry import Geometry, Volume
from autospine.data.volume import read_volume, write_volume
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import WEIGHTS, weights_digest, write_model, write_previous
from autospine.planning.document.plan import Plan

Edit = Callable[[dict[str, Any]], object]
GRID = Geometry((8, 24, 20), (1.5, 1.0, 1.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))


def model_folder(folder: Path, plan: Plan, configuration: Configuration) -> Path:
    """A model with one fold and random weights."""
    torch.manual_seed(0)
    write_model(folder, ModelCard(plan.data, configuration))
    (folder / "fold_0").mkdir()
    save_file(UNet(configuration.network, configuration.patch).state_dict(), folder / "fold_0" / WEIGHTS)
    return folder


@pytest.fixture
def model(make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan], tmp_path: Path) -> Path:
    write_volume(
        tmp_path / "in" / "s.nii.gz",
        Volume(np.random.default_rng(0).normal(100, 10, (1, *GRID.shape)).astype(np.float32), GRID),
    )
    return model_folder(tmp_path / "3d_fullres", make_plan(), make_configuration())


def predict(model: Path) -> tuple[int, str]:
    """Exit code and what was said, without the terminal's line breaks and frames."""
    root = model.parent
    words = ["predict", root / "in", root / "out", "--model", model, "--device", "cpu"]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


def edit_card(model: Path, edit: Edit) -> None:
    card = json.loads((model / "model.json").read_text())
    edit(card)
    (model / "model.json").write_text(json.dumps(card))


def test_a_sound_one_predicts(model: Path) -> None:
    assert predict(model)[0] == 0
    assert set(np.unique(read_volume(model.parent / "out" / "s.nii.gz").array)) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda card: card["configuration"].update(previous="../../etc"), "configuration.previous"),
        (lambda card: card["configuration"].update(name="../../x"), "configuration.name"),
        (lambda card: card["configuration"].update(patch=[1024] * 3), "at most 67108864 voxels together"),
        (lambda card: card["configuration"].update(patch=[400] * 3), "patch of 400 x 400 x 400 voxels takes"),
        (lambda card: card["configuration"].update(spacing_mm=[0.05] * 3), "would make 4.61e+07 voxels of this image"),
        (lambda card: card["configuration"].update(spacing_mm=[0.01] * 3), "voxels of this image"),
        (lambda card: card["configuration"]["network"].update(features=[4096, 4096]), "these weights do not fit"),
        (lambda card: card["configuration"]["network"].update(features=[10**9, 10**9]), "from 1 to 8192 each"),
        (lambda card: card["configuration"]["network"].update(encoder="residual"), "these weights do not fit"),
        (lambda card: card.update(labels=[["a", 1], ["b", 10**30], ["c", 3]]), "values of at most 2147483647"),
        (lambda card: card.update(labels=[["a", 1], ["b", 2]]), "3: background and labels"),
        (lambda card: card.update(channels=[]), "at least one channel"),
        (lambda card: card.update(more=1), "there is no key `more`"),
        (lambda card: card.pop("labels"), "the key `labels` is missing"),
        (lambda card: card.clear(), "schema None"),
    ],
)
def test_a_card_that_is_not_sound(model: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit, said: str) -> None:
    monkeypatch.setattr("autospine.inference.too_large.device_memory_gb", lambda _: 3.0)
    edit_card(model, edit)
    code, text = predict(model)
    assert code == 1 and said in text, text
    assert not (model.parent / "out").exists() or not any(model.parent.glob("out/*.nii.gz"))


def test_weights_that_are_no_numbers_give_no_empty_mask(model: Path) -> None:
    path = model / "fold_0" / WEIGHTS
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    for value, said in ((float("nan"), "numbers that are NaN or infinite"), (3e38, "in the output of the network")):
        path.unlink()
        save_file({name: torch.full_like(tensor, value) for name, tensor in tensors.items()}, path)
        code, text = predict(model)
        assert code == 1 and said in text, text
        assert not any(model.parent.glob("out/*.nii.gz"))


def test_the_previous_stage_of_a_cascade_is_checked_alike(
    model: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    base = make_configuration()
    network = replace(base.network, in_channels=4)
    low = replace(base, name="3d_lowres")
    high = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    first = model_folder(model.parent / "3d_lowres", make_plan(low), low)
    cascade = model_folder(model.parent / high.name, make_plan(low), high)
    write_previous(cascade / "fold_0", {0: weights_digest(first, 0)})
    assert predict(cascade)[0] == 0
    shutil.rmtree(model.parent / "out")

    path = first / "fold_0" / WEIGHTS
    sound = {name: tensor.clone() for name, tensor in load_file(path).items()}
    path.unlink()
    save_file({name: tensor * float("nan") for name, tensor in sound.items()}, path)
    code, text = predict(cascade)
    assert code == 1 and "numbers that are NaN or infinite" in text
    edit_card(first, lambda card: card.update(labels=[["a", -1], ["b", 2], ["c", 3]]))
    code, text = predict(cascade)
    assert code == 1 and "values of at least 1" in text
