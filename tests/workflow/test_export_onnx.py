"""A model as ONNX networks with a file beside them, which segment without autospine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.data.disk.files import file_digest
from autospine.data.volume import write_volume
from autospine.errors import OutputError, PlanError
from autospine.planning.document.configuration import Configuration
from autospine.workflow import export as module
from autospine.workflow.export import ExportRequest, export_model
from tests.workflow.around_onnx import FLIPS, image_of, same
from tests.workflow.by_hand import segment
from tests.workflow.predicting import Noting, made_model, put_image

Make = Callable[..., Configuration]


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
