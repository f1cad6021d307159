"""A cascade is loaded with the previous stage that it was trained on, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from autospine.errors import PlanError
from autospine.inference.loading import load_model, load_previous, load_stages
from autospine.inference.settings import Settings
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan
from autospine.planning.document.model_file import WEIGHTS, weights_digest, write_model, write_previous
from tests.cards import card_of

Make = Callable[..., Configuration]
CPU = torch.device("cpu")
INTENSITIES = (IntensityPlan(100.0, 20.0, 10.0, 200.0),)


def save_weights(folder: Path, network: nn.Module) -> None:
    save_file(network.state_dict(), folder / WEIGHTS)


def test_the_previous_stage_is_found_beside_the_cascade(
    make_configuration: Callable[..., Configuration], tmp_path: Path
) -> None:
    base = make_configuration()
    labels = (("upper", 1), ("middle", 2), ("lower", 3))
    first = card_of(replace(base, name="3d_lowres", spacing_mm=(2.0, 2.0, 2.0)), labels=labels)
    network = replace(base.network, in_channels=4)
    second = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    card = replace(first, configuration=second)
    write_model(tmp_path / "3d_cascade_fullres", card)
    for fold, configuration in (("0", second), ("1", second)):
        folder = tmp_path / "3d_cascade_fullres" / f"fold_{fold}"
        folder.mkdir()
        save_weights(folder, UNet(configuration.network, configuration.patch))
    cascade = load_model(tmp_path / "3d_cascade_fullres", CPU, ("1",))
    with pytest.raises(PlanError, match="no model here, and 3d_cascade_fullres starts from"):
        load_previous(tmp_path / "3d_cascade_fullres", cascade)

    write_model(tmp_path / "3d_lowres", first)
    (tmp_path / "3d_lowres" / "fold_0").mkdir()
    save_weights(tmp_path / "3d_lowres" / "fold_0", UNet(base.network, base.patch))
    with pytest.raises(PlanError, match="no trained fold 1"):
        load_previous(tmp_path / "3d_cascade_fullres", cascade)
    (tmp_path / "3d_lowres" / "fold_0").rename(tmp_path / "3d_lowres" / "fold_1")
    write_previous(tmp_path / "3d_cascade_fullres" / "fold_1", {1: weights_digest(tmp_path / "3d_lowres", 1)})
    previous = load_previous(tmp_path / "3d_cascade_fullres", cascade)
    assert previous is not None
    assert previous.origin.folds == ("1",)
    assert previous.card == first

    write_model(
        tmp_path / "3d_lowres", card_of(first.configuration, labels=(("upper", 3), ("middle", 2), ("lower", 1)))
    )
    with pytest.raises(PlanError, match="labels or stages differ"):
        load_previous(tmp_path / "3d_cascade_fullres", cascade)


def test_a_cascade_takes_the_weights_that_it_was_trained_on_alone(
    make_configuration: Callable[..., Configuration], tmp_path: Path
) -> None:
    base, folder, there = make_configuration(), tmp_path / "3d_cascade_fullres", tmp_path / "3d_lowres"
    labels = (("upper", 1), ("middle", 2), ("lower", 3))
    first = card_of(replace(base, name="3d_lowres"), labels=labels)
    network = replace(base.network, in_channels=4)
    second = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    write_model(there, first)
    write_model(folder, replace(first, configuration=second))
    for fold in ("0", "1", "2"):
        for model, plan in ((there, base.network), (folder, network)):
            (model / f"fold_{fold}").mkdir()
            save_weights(model / f"fold_{fold}", UNet(plan, base.patch))
    for number in (0, 1, 2):
        write_previous(
            folder / f"fold_{number}", {first_fold: weights_digest(there, first_fold) for first_fold in range(3)}
        )

    def load(*folds: str) -> None:
        load_previous(folder, load_model(folder, CPU, folds))

    load("0", "1", "2")
    # fold 1 of the previous stage is trained again, and so is fold 2 of the cascade
    save_weights(there / "fold_1", UNet(base.network, base.patch))
    write_previous(folder / "fold_2", {number: weights_digest(there, number) for number in range(3)})
    load("0")
    load("0", "2")
    for folds in (("1",), ("0", "1"), ("1", "2")):
        with pytest.raises(
            PlanError, match=r"was trained on another 3d_lowres \(fold\(s\) 1 have other weights"
        ) as fault:
            load(*folds)
    assert fault.value.where.endswith("fold_1/previous.json")
    # fold 0 validates no case that the cascade saw
    write_previous(folder / "fold_0", {number: weights_digest(there, number) for number in (1, 2)})
    load("0")
    (folder / "fold_0" / "previous.json").unlink()
    with pytest.raises(PlanError, match="nobody knows which weights"):
        load("0")


def test_mirroring_and_overlap_are_those_of_every_stage(make_configuration: Make, tmp_path: Path) -> None:
    base = make_configuration()
    second = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    for configuration in (replace(base, name="3d_lowres"), second):
        folder = tmp_path / configuration.name
        write_model(folder, card_of(configuration))
        (folder / "fold_0").mkdir()
        save_weights(folder / "fold_0", UNet(configuration.network, base.patch))
    write_previous(tmp_path / second.name / "fold_0", {0: weights_digest(tmp_path / "3d_lowres", 0)})
    model = load_stages(tmp_path / second.name, CPU, Settings(mirror=False, overlap=0.25))
    assert [stage.card.configuration.name for stage in model.stages] == ["3d_cascade_fullres", "3d_lowres"]
    assert [(stage.mirror, stage.card.configuration.overlap) for stage in model.stages] == 2 * [(False, 0.25)]
    as_planned = load_stages(tmp_path / second.name, CPU)
    assert [(stage.mirror, stage.card.configuration.overlap) for stage in as_planned.stages] == 2 * [(True, 0.5)]
    assert as_planned.origin.folds == ("0",) and len(as_planned.origin.digests) == 2


def test_a_fast_prediction_has_the_first_trained_fold_alone_and_an_exact_one_float32(
    make_configuration: Make, tmp_path: Path
) -> None:
    configuration = make_configuration()
    write_model(tmp_path, card_of(configuration))
    for fold, name in (("0", "best.safetensors"), ("1", WEIGHTS), ("3", WEIGHTS)):
        (tmp_path / f"fold_{fold}").mkdir()
        save_file(UNet(configuration.network, configuration.patch).state_dict(), tmp_path / f"fold_{fold}" / name)
    fast = load_stages(tmp_path, CPU, Settings(fast=True))
    assert fast.origin.folds == ("1",) and not fast.mirror and fast.precision is None
    assert fast.card.configuration.overlap == 0.25 < configuration.overlap
    assert load_stages(tmp_path, CPU, Settings(fast=True, folds=("3",))).origin.folds == ("3",)
    exact = load_stages(tmp_path, CPU, Settings(exact=True))
    assert exact.origin.folds == ("1", "3") and exact.mirror
    assert str(exact.computed_in()) == "float32" and exact.computed_in().engine == "torch"
