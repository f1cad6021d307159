"""ONNX networks with the file beside them are enough to segment without autospine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autospine.data.disk.files import file_digest
from autospine.data.geometry import Geometry, Volume
from autospine.data.structure import Region
from autospine.data.volume import write_volume
from autospine.errors import OutputError, PlanError
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.data import IntensityPlan, LevelsPlan, PresencePlan
from autospine.planning.document.model_card import ModelCard
from autospine.workflow import export as module
from autospine.workflow.export import ExportRequest, export_model
from autospine.workflow.steps.onnx_description import describe_card, real_patches
from tests.cards import card_of
from tests.inference.predicting import predictor_of
from tests.workflow.by_hand import Network, segment
from tests.workflow.predicting import Noting, made_model, put_image

Make = Callable[..., Configuration]
FLIPS = (False, True, True)
"""Of the images here: their X and Y run the other way."""


def image_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], channels: int = 1) -> Volume:
    """Noise in a box of zeros."""
    array = np.zeros((channels, *shape), np.float32)
    inner = (slice(1, None), slice(2, -1), slice(None, -3))
    array[(slice(None), *inner)] = np.random.default_rng(0).normal(100, 10, array[(slice(None), *inner)].shape)
    return Volume(array, Geometry(shape, spacing_mm, (0.0, 0.0, 0.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)))


def by_torch(network: nn.Module) -> Network:
    def said(batch: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(batch))[0].numpy()

    return said


def networks_of(card: ModelCard, count: int = 1) -> list[nn.Module]:
    torch.manual_seed(0)
    one = card.configuration
    return [UNet(one.network, one.patch).eval() for _ in range(count)]


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """But for voxels in which two outputs are as large to the last bits."""
    assert len(np.unique(expected)) > 2
    assert (found == expected).mean() >= 0.999


def few_turns(configuration: Configuration) -> Configuration:
    """Mirrored along its last axis alone: networks of volumes take their time."""
    return replace(configuration, training=replace(configuration.training, mirror_axes=(2,)))


def kinds(make: Make) -> dict[str, tuple[ModelCard, Volume]]:
    solid, flat = few_turns(make()), make(spacing_mm=(1.0, 1.0))
    two = replace(
        few_turns(make(normalisation=("zscore", "ct"))),
        network=replace(solid.network, in_channels=3, encoder="residual", bottleneck="msff"),
        axis_order=(2, 0, 1),
        spacing_mm=(1.5, 1.2, 0.8),
    )
    near = replace(flat, name="2.5d", neighbours=1, network=replace(flat.network, in_channels=3), spacing_mm=(0.9, 1.1))
    regions = replace(
        solid,
        network=replace(solid.network, out_channels=2),
        loss=replace(solid.loss, class_weights=(1.0, 1.0)),
        spacing_mm=(5.0, 1.0, 1.2),
    )
    whole = (Region("whole", (1, 2), 2), Region("core", (1,), 1))
    ct = IntensityPlan(95.0, 12.0, 80.0, 120.0)
    return {
        "2d": (card_of(flat, sides=((1, 3),)), image_of((4, 22, 21), (4.0, 1.0, 1.0))),
        "2.5d": (card_of(near), image_of((4, 22, 21), (4.0, 1.0, 1.0))),
        "3d, another grid, a channel that may be missing": (
            card_of(two, presence=PresencePlan((1,), 0.25), intensities=(ct, ct)),
            image_of((14, 14, 16), (1.0, 1.0, 1.0), 2),
        ),
        "3d, an axis apart, regions": (
            card_of(regions, labels=(("a", 1), ("b", 2)), regions=whole),
            image_of((9, 21, 20), (4.0, 0.9, 1.0)),
        ),
    }


@pytest.mark.parametrize(
    "kind", ["2d", "2.5d", "3d, another grid, a channel that may be missing", "3d, an axis apart, regions"]
)
def test_the_description_is_enough(make_configuration: Make, kind: str) -> None:
    """With torch's networks in the place of ONNX: what is told of pre- and postprocessing gives the same labels."""
    card, image = kinds(make_configuration)[kind]
    networks = networks_of(card, 2)
    table = json.loads(json.dumps(describe_card(card)))
    assert table["input"]["shape"][1] == len(table["input"]["channels"]) == card.configuration.network.in_channels
    assert table["output"]["shape"][1] == len(table["output"]["channels"])
    spacing_mm = image.geometry.spacing_mm
    for missing in [(), *[(one,) for one in card.data.optional]]:
        array = image.array.copy()
        array[list(missing)] = 0
        expected = (
            predictor_of(networks, card, precision="float32")
            .segment(replace(image, array=array), "case", missing=missing)
            .labels
        )
        found = segment([table], [list(map(by_torch, networks))], array, spacing_mm, FLIPS, missing)
        same(found, expected.array[0])


def test_the_description_of_a_cascade_is_enough(make_configuration: Make) -> None:
    base = few_turns(make_configuration())
    low = card_of(replace(base, name="3d_lowres"), sides=((1, 2),))
    high = low.with_configuration(
        replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4))
    )
    first, second = networks_of(low), networks_of(high)
    image = image_of((10, 16, 21), (1.0, 1.0, 1.0))
    previous = predictor_of(first, low, precision="float32")
    expected = predictor_of(second, high, precision="float32", previous=previous).segment(image, "case").labels
    tables = [json.loads(json.dumps(describe_card(card))) for card in (low, high)]
    by_hand = [[by_torch(network) for network in its] for its in (first, second)]
    same(segment(tables, by_hand, image.array, image.geometry.spacing_mm, FLIPS), expected.array[0])


def test_levels_are_told_with_all_their_numbers(make_configuration: Make) -> None:
    card = card_of(make_configuration(axis_order=(2, 0, 1)), levels=LevelsPlan((1, 2), 0, 1.1, (0.9, 0.8)))
    told = describe_card(card)["postprocessing"]["levels"]
    assert told["axis"] == 1 and told["classes"] == [1, 2] and told["missed_level"] == 1.6


def test_real_patches_are_what_a_network_sees(make_configuration: Make, tmp_path: Path) -> None:
    """Of the middle of the image: the tile of a prediction whose case is as large as a patch."""
    for kind, (card, image) in kinds(make_configuration).items():
        seen: list[np.ndarray] = []

        class Recording(nn.Module):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network

            def forward(self, batch: torch.Tensor, seen: Any = seen) -> Any:
                seen += list(batch.numpy())
                return self.network(batch)

        path = tmp_path / f"{len(kind)}.nii.gz"
        write_volume(path, image)
        (patch,) = real_patches(path, card)
        assert patch.shape == (card.configuration.network.in_channels, *card.configuration.patch)
        if kind.startswith("2"):
            wide = card.with_configuration(replace(card.configuration, overlap=0.96))
            predictor_of([Recording(networks_of(card)[0])], wide, precision="float32", mirror=False).segment(image, "")
            assert any(np.allclose(patch, one, atol=1e-5) for one in seen)
    write_volume(tmp_path / "two.nii.gz", image_of((9, 9, 9), (1.0, 1.0, 1.0), 2))
    with pytest.raises(PlanError, match=r"2 channel\(s\)"):
        real_patches(tmp_path / "two.nii.gz", card_of(make_configuration()))


def test_onnx_networks_segment_without_autospine(make_configuration: Make, tmp_path: Path) -> None:
    """The whole way, through files: numpy, scipy and onnxruntime give the labels of `predict`."""
    onnxruntime = pytest.importorskip("onnxruntime")
    configuration = make_configuration(spacing_mm=(1.0, 1.0))
    shallow = replace(configuration.network, blocks=(1, 1), convs_decoder=1)  # each node of a graph takes its time
    model = made_model(tmp_path / "models" / "2d", replace(configuration, network=shallow), 0)
    image = image_of((4, 22, 21), (4.0, 1.0, 1.0))
    write_volume(tmp_path / "in.nii.gz", image)
    noting = Noting()
    request = ExportRequest(model, onnx=True, image=tmp_path / "in.nii.gz")
    done = export_model(tmp_path / "a.autospine", request, progress=noting)
    names = ("a.autospine", "a.onnx", "a.json")
    assert done.files == tuple(tmp_path / name for name in names)
    assert 0 < done.differences["a.onnx"] < 1e-3
    assert any("differs from torch's by at most" in note and "in.nii.gz" in note for note in noting.notes)
    told = json.loads((tmp_path / "a.json").read_text())
    (network,) = told["stages"][0]["networks"]
    assert network["sha256"] == file_digest(tmp_path / "a.onnx") and network["file"] == "a.onnx"
    content = (tmp_path / "a.onnx").read_bytes()
    assert b".py" not in content and str(Path(module.__file__).parents[2]).encode() not in content

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [one.shape for one in session.get_inputs()] == [["batch", 1, 16, 16]]

    def said(batch: np.ndarray) -> np.ndarray:
        (logits,) = session.run(["logits"], {"image": batch})
        return np.asarray(logits)

    from autospine.inference.loading import load_stages

    predictor = replace(load_stages(model, torch.device("cpu")), precision="float32")
    expected = predictor.segment(image, "case").labels.array[0]
    same(segment(told["stages"], [[said]], image.array, image.geometry.spacing_mm, FLIPS), expected)
    with pytest.raises(OutputError, match=r"a\.json stands there already"):
        (tmp_path / "a.onnx").unlink()
        export_model(tmp_path / "a.onnx", ExportRequest(model))


def test_each_fold_and_stage_has_a_file(
    make_configuration: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autospine.networks import onnx
    from autospine.planning.document.model_file import weights_digest, write_previous

    written: list[Path] = []

    def pretended(path: Path, *_: object) -> float:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        written.append(path)
        return 0.5

    monkeypatch.setattr(onnx, "write_onnx", pretended)
    base = make_configuration()
    high = replace(base, name="3d_cascade_fullres", previous="3d_lowres", network=replace(base.network, in_channels=4))
    low = made_model(tmp_path / "3d_lowres", replace(base, name="3d_lowres"), 0, ("0", "1"))
    model = made_model(tmp_path / high.name, high, 0, ("0", "1"))
    for fold in (0, 1):
        write_previous(model / f"fold_{fold}", {one: weights_digest(low, one) for one in (0, 1)})
    done = export_model(tmp_path / "out" / "a.onnx", ExportRequest(model))
    assert [path.name for path in written] == [
        f"a_{name}_fold_{fold}.onnx" for name in (high.name, "3d_lowres") for fold in (0, 1)
    ]
    assert {path.name for path in done.files} == {*(path.name for path in written), "a.json"}
    told = json.loads((tmp_path / "out" / "a.json").read_text())
    assert [stage["name"] for stage in told["stages"]] == ["3d_lowres", high.name]
    done = export_model(tmp_path / "b.onnx", ExportRequest(low))
    assert [path.name for path in done.files] == ["b_fold_0.onnx", "b_fold_1.onnx", "b.json"]


def test_without_the_extra(make_configuration: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autospine.networks import onnx

    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else name)
    model = made_model(tmp_path / "2d", make_configuration(spacing_mm=(1.0, 1.0)), 0)
    with pytest.raises(PlanError, match=r"not installed: onnxscript") as fault:
        export_model(tmp_path / "a.onnx", ExportRequest(model))
    assert fault.value.remedy == 'pip install "autospine[onnx]"'
    put_image(tmp_path / "in.nii.gz")
    assert not list(tmp_path.glob("a.*"))
