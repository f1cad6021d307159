"""Networks in ONNX compute as torch's do, or are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.errors import PlanError
from autospine.networks import onnx
from autospine.networks.unet import UNet
from autospine.planning.document.configuration import Configuration

Make = Callable[..., Configuration]
KINDS = [
    ("3d", "plain", "plain"),
    ("3d", "residual", "msff"),
    ("3d", "plain", "control"),
    ("2d", "residual", "plain"),
    ("2d", "plain", "msff"),
]


@pytest.fixture
def flat(make_configuration: Make) -> Configuration:
    return make_configuration(spacing_mm=(1.0, 1.0))


def network_of(configuration: Configuration) -> UNet:
    torch.manual_seed(0)
    network = UNet(configuration.network, configuration.patch)
    with torch.no_grad():  # of a fresh network the fusion at the bottleneck is the identity
        for name, weight in network.named_parameters():
            if name.startswith(("msff.norm", "control.norm")):
                weight.fill_(0.5)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "encoder", "bottleneck"), KINDS)
def test_every_kind_of_network(
    make_configuration: Make, flat: Configuration, tmp_path: Path, dimension: str, encoder: str, bottleneck: str
) -> None:
    base = flat if dimension == "2d" else make_configuration()
    configuration = replace(base, network=replace(base.network, encoder=encoder, bottleneck=bottleneck))
    network = network_of(configuration)
    patches = np.random.default_rng(0).normal(0, 3, (2, 1, *configuration.patch)).astype(np.float32)
    first, again = tmp_path / "a.onnx", tmp_path / "b.onnx"
    assert onnx.write_onnx(first, network, configuration, patches) < 1e-4
    onnx.write_onnx(again, network, configuration)
    assert first.read_bytes() == again.read_bytes()


def test_another_network_is_refused(flat: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph is that of other weights, or gives what is no number."""
    network, graph = network_of(flat), b"a graph"
    monkeypatch.setattr(onnx, "_graph", lambda *_: graph)
    for difference, largest in ((0.02, 10.0), (float("nan"), 10.0), (float("inf"), 0.0)):
        monkeypatch.setattr(onnx, "_compare", lambda *_, said=(difference, largest): said)
        with pytest.raises(PlanError, match="its logits differ from torch's"):
            onnx.write_onnx(tmp_path / "a.onnx", network, flat)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(onnx, "_compare", lambda *_: (0.009, 10.0))
    assert onnx.write_onnx(tmp_path / "a.onnx", network, flat) == 0.009
    assert (tmp_path / "a.onnx").read_bytes() == graph


def test_differences_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that gives other numbers, another shape or none."""
    runtime = pytest.importorskip("onnxruntime")
    answers: list[np.ndarray] = []

    class Session:
        def __init__(self, *_: object, **__: object) -> None: ...

        def run(self, *_: object) -> list[np.ndarray]:
            return [answers.pop(0)]

    monkeypatch.setattr(runtime, "InferenceSession", Session)
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    ones = torch.ones(1, 2, 4, 4)
    answers[:] = [np.full((1, 2, 4, 4), 1.25), np.full((1, 2, 4, 4), 2.0)]
    assert onnx._compare(path, torch.nn.Identity(), [ones, 2 * ones]) == (0.25, 2.0)
    answers[:] = [np.full((1, 2, 4, 4), np.nan), np.ones((1, 2, 4, 4))]
    assert np.isnan(onnx._compare(path, torch.nn.Identity(), [ones, ones])[0])
    answers[:] = [np.ones((1, 2, 4, 5))]
    assert onnx._compare(path, torch.nn.Identity(), [ones])[0] == float("inf")


def test_what_no_file_can_hold(flat: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "_LARGEST_PART", 1000)
    with pytest.raises(PlanError, match="less than 2.1 GB"):
        onnx.write_onnx(tmp_path / "a.onnx", network_of(flat), flat)
