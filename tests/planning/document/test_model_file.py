"""The card of a model folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autospine.data.structure import Region
from autospine.errors import PlanError
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import LevelsPlan
from autospine.planning.document.model_card import ModelCard
from autospine.planning.document.model_file import (
    read_model,
    read_previous,
    weights_digest,
    write_model,
    write_previous,
)
from autospine.planning.document.plan import Plan
from tests.cards import card_of


def test_weights_are_taken_whatever_the_schedule_and_what_it_takes(
    make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    configuration = make_configuration()
    plan = make_plan(configuration)

    def card(changed: Configuration) -> ModelCard:
        return ModelCard(plan.data, changed)

    trained = card(configuration)
    longer = replace(configuration, training=replace(configuration.training, epochs=77))
    heavier = replace(configuration, loss=replace(configuration.loss, class_weights=(1.0, 2.0, 3.0, 1.0)))
    looser = replace(configuration, overlap=0.25, batch=3, median_shape=(17, 33, 25))
    for same in (longer, heavier, looser):
        assert card(same).takes_weights_of(trained)
        assert trained.takes_weights_of(card(same))
    wider = replace(configuration, network=replace(configuration.network, features=(8, 32)))
    unmirrored = replace(configuration, training=replace(configuration.training, mirror_axes=()))
    finer = replace(configuration, resampling=replace(configuration.resampling, order_image=1))
    masked, larger = replace(configuration, use_mask=True), replace(configuration, patch=(8, 32, 16))
    turned, coarser = replace(configuration, axis_order=(1, 0, 2)), replace(configuration, spacing_mm=(1.0, 1.0, 2.0))
    scaled = replace(configuration, normalisation=("ct",))
    for other in (wider, unmirrored, finer, masked, larger, turned, coarser, scaled):
        assert not card(other).takes_weights_of(trained)
    brighter = (replace(plan.data.intensities[0], mean=101.0),)
    swapped = (("L2", 1), ("L1", 2), ("L3", 3))
    for change in ({"channels": ("T1",)}, {"labels": swapped}, {"intensities": brighter}):
        assert not replace(trained, data=replace(plan.data, **change)).takes_weights_of(trained)  # type: ignore[arg-type]


def test_slices_and_stages_that_enter_differ_in_meaning(make_configuration: Callable[..., Configuration]) -> None:
    flat = make_configuration(spacing_mm=(1.0, 1.0))
    # three channels enter either way
    single = replace(flat, normalisation=("zscore",) * 3, network=replace(flat.network, in_channels=3))
    neighbourly = replace(flat, name="2.5d", neighbours=1, network=single.network)
    one, other = (card_of(each) for each in (single, replace(neighbourly, normalisation=("zscore",))))
    assert not one.takes_weights_of(other)


def test_a_cascades_card_comes_back(
    tmp_path: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    base = make_configuration()
    cascade = replace(
        base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4)
    )
    card = ModelCard(make_plan().data, cascade)
    write_model(tmp_path, card)
    assert read_model(tmp_path) == card


@pytest.fixture
def sided(make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]) -> ModelCard:
    """Slices first lie from anterior to posterior: the planned axes are Y, Z, X."""
    base = make_configuration(axis_order=(1, 0, 2))
    mirrored = replace(base, training=replace(base.training, mirror_axes=(2,)))
    levels = LevelsPlan((3, 2, 1), 0, 1.1, (0.9, 0.8))
    return ModelCard(replace(make_plan().data, sides=((1, 3),), levels=levels), mirrored)


@pytest.fixture
def overlapping(make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]) -> ModelCard:
    """Labels of the values 5, 7 and 9, and two regions of them."""
    base, data = make_configuration(), make_plan().data
    labels = tuple((name, value) for (name, _), value in zip(data.labels, (5, 7, 9), strict=True))
    regions = (Region("all", (5, 7, 9), 7), Region("core", (9,), 9))
    network = replace(base.network, out_channels=2)
    loss = replace(base.loss, class_weights=(1.0, 1.0))
    return ModelCard(replace(data, labels=labels, regions=regions), replace(base, network=network, loss=loss))


def test_a_card_tells_of_its_data_as_models_did(sided: ModelCard, overlapping: ModelCard, tmp_path: Path) -> None:
    write_model(tmp_path / "a", sided)
    content = json.loads((tmp_path / "a" / "model.json").read_text())
    assert content["schema"] == 3
    assert list(content) == ["schema", "dataset", "channels", "labels", "intensities", "configuration"]
    assert content["configuration"]["sides"] == {"axis": 2, "pairs": [[1, 3]]}
    assert content["configuration"]["levels"]["axis"] == 1  # of the planned axes Y, Z, X
    write_model(tmp_path / "b", overlapping)
    regions = json.loads((tmp_path / "b" / "model.json").read_text())["configuration"]["regions"]
    assert regions == {"names": ["all", "core"], "classes": [[1, 2, 3], [3]], "written": [2, 3]}
    assert (read_model(tmp_path / "a"), read_model(tmp_path / "b")) == (sided, overlapping)


def test_a_card_with_what_its_training_was_expected_to_take_is_read(sided: ModelCard, tmp_path: Path) -> None:
    write_model(tmp_path, sided)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    content["configuration"]["expected"] = {"memory_gb": 3.0, "device": "cpu", "made_for": "key"}
    path.write_text(json.dumps(content))
    assert read_model(tmp_path) == sided


@pytest.mark.parametrize(
    ("key", "value", "where", "expected"),
    [
        ("names", ["all"], "regions.names", "a name, classes and a class written for each region"),
        ("classes", [[1, 2, 4], [3]], "regions.classes", "classes from 1 to 3, the last label"),
        ("written", [0, 3], "regions.classes", "classes from 1 to 3, the last label"),
        ("written", [2, 1], "regions.written", "one of the values of its labels"),
    ],
)
def test_regions_that_are_none(
    overlapping: ModelCard, tmp_path: Path, key: str, value: object, where: str, expected: str
) -> None:
    write_model(tmp_path, overlapping)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    content["configuration"]["regions"][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(PlanError) as caught:
        read_model(tmp_path)
    assert caught.value.where.endswith(where) and caught.value.expected == expected


def test_sides_swap_from_right_to_left_alone(sided: ModelCard, tmp_path: Path) -> None:
    write_model(tmp_path, sided)
    path = tmp_path / "model.json"
    content = json.loads(path.read_text())
    for axis in (0, 1, 3, -1):
        content["configuration"]["sides"]["axis"] = axis
        path.write_text(json.dumps(content))
        with pytest.raises(PlanError, match=r"sides\.axis"):
            read_model(tmp_path)


def test_a_card_cannot_name_a_stage_elsewhere(
    tmp_path: Path, make_configuration: Callable[..., Configuration], make_plan: Callable[..., Plan]
) -> None:
    base = make_configuration()
    network = replace(base.network, in_channels=4)
    cascade = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=network)
    card = ModelCard(make_plan().data, cascade)
    write_model(tmp_path, card)
    text = (tmp_path / "model.json").read_text()
    for elsewhere in ("..", "../3d_lowres", "", "3d_cascade_fullres", "2d"):
        (tmp_path / "model.json").write_text(text.replace('"3d_lowres"', json.dumps(elsewhere)))
        with pytest.raises(PlanError, match="previous"):
            read_model(tmp_path)


def test_what_a_cascade_was_trained_on_comes_back(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such file: nobody knows"):
        read_previous(tmp_path)
    write_previous(tmp_path, {0: "ab", 10: "cd"})
    assert read_previous(tmp_path) == {"0": "ab", "10": "cd"}
    for content in ("[]", '{"0": 1}'):
        (tmp_path / "previous.json").write_text(content)
        with pytest.raises(PlanError, match="not a table of folds"):
            read_previous(tmp_path)


def test_the_digest_of_weights_by_hand(tmp_path: Path) -> None:
    (tmp_path / "fold_1").mkdir()
    (tmp_path / "fold_1" / "model.safetensors").write_bytes(b"abc")
    with pytest.raises(PlanError, match=r"fold_2/model\.safetensors: cannot be read \(No such file"):
        weights_digest(tmp_path, 2)
    # the first test vector of FIPS 180-2
    assert weights_digest(tmp_path, 1).startswith("ba7816bf8f01cfea414140de5dae2223")
