"""Weights that a stranger gave: compared by their shapes first, and never taken with what is no number."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autospine.errors import PlanError
from autospine.networks.unet import UNet
from autospine.networks.weights import load_network, network_shapes, read_shapes
from autospine.planning.document.configuration import Configuration
from autospine.planning.document.model_file import WEIGHTS


@pytest.fixture
def plan(make_configuration: Callable[..., Configuration]) -> Configuration:
    return make_configuration()


@pytest.fixture
def file(plan: Configuration, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(UNet(plan.network, plan.patch).state_dict(), tmp_path / WEIGHTS)
    return tmp_path / WEIGHTS


def change(file: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    edit(tensors)
    file.unlink()
    save_file(tensors, file)


def test_weights_come_back_and_shapes_take_no_memory(plan: Configuration, file: Path) -> None:
    network = load_network(file, plan.network, plan.patch)
    assert not network.training
    stored = load_file(file)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())
    image = torch.randn(1, 1, *plan.patch)
    again = UNet(plan.network, plan.patch).eval()
    again.load_state_dict(stored)
    torch.testing.assert_close(network(image)[0], again(image)[0])
    shapes = network_shapes(plan.network, plan.patch)
    assert all(tensor.is_meta for tensor in shapes.state_dict().values())
    assert read_shapes(file) == {name: tuple(tensor.shape) for name, tensor in shapes.state_dict().items()}


def test_a_network_of_shapes_draws_nothing(plan: Configuration) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    network_shapes(plan.network, plan.patch)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_shorter_numbers_are_taken_as_they_are(plan: Configuration, file: Path, kind: torch.dtype) -> None:
    change(file, lambda tensors: tensors.update({name: tensor.to(kind) for name, tensor in tensors.items()}))
    network, stored = load_network(file, plan.network, plan.patch), load_file(file)
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, stored[name].float())


@pytest.mark.parametrize(
    ("edit", "found"),
    [
        (lambda held: held.pop("heads.0.bias"), r"heads\.0\.bias is absent there and 4 by model\.json"),
        (lambda held: held.update(more=torch.zeros(2, 3)), r"more is 2 x 3 there and absent by model\.json"),
        (lambda held: held.update({"heads.0.bias": torch.zeros(5)}), r"heads\.0\.bias is 5 there and 4 by"),
        (lambda held: held.update({"heads.0.bias": torch.tensor(1.0)}), "is a single number there and 4 by"),
        (lambda held: held.clear(), r"and \d+ more"),
        (lambda held: held.update({"heads.0.bias": torch.zeros(4, dtype=torch.int64)}), "is stored as I64"),
        (lambda held: held.update({"heads.0.bias": torch.zeros(4).double()}), "is stored as F64"),
        (lambda held: held["heads.0.bias"].fill_(float("nan")), r"heads\.0\.bias holds 4 of 4 numbers that are NaN"),
        (lambda held: held["heads.0.bias"][1:2].fill_(float("-inf")), "holds 1 of 4 numbers"),
    ],
)
def test_other_weights_are_named(
    plan: Configuration, file: Path, edit: Callable[[dict[str, torch.Tensor]], None], found: str
) -> None:
    change(file, edit)
    with pytest.raises(PlanError, match=found) as error:
        load_network(file, plan.network, plan.patch)
    assert error.value.where == str(file) and error.value.remedy


def header(table: object, size: int | None = None) -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text


def tensor(shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no weights",
        header({}, 2**63 - 1),
        header({"a": tensor([10**6, 10**6], 0, 4 * 10**12)}),
        header({"a": tensor([2**62, 4], 0, 0)}),
        header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}) + bytes(12),
        header({"a": tensor([2], 0, 8)}) + bytes(4),
        header({"a": tensor([2], 8, 0)}) + bytes(8),
        struct.pack("<Q", 200_000) + b"[" * 200_000,
        header({f"tensor {number:050}": tensor([0], 0, 0) for number in range(150_000)}),
    ],
    ids=["empty", "text", "header 2^63", "shape 10^12", "shape 2^64", "overlap", "cut", "backwards", "deep", "many"],
)
def test_headers_that_lie(plan: Configuration, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(PlanError, match="cannot be read as weights"):
        load_network(file, plan.network, plan.patch)


def test_what_is_no_file_or_may_not_be_read(plan: Configuration, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:

        def forbidden(path: Path, *rest: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        patched.setattr(Path, "open", forbidden)
        with pytest.raises(PlanError, match=r"cannot be read \(Permission denied\)"):
            load_network(file, plan.network, plan.patch)
    file.unlink()
    with pytest.raises(PlanError, match="no such file"):
        load_network(file, plan.network, plan.patch)
    os.mkfifo(file)  # opening it would wait for ever
    with pytest.raises(PlanError, match="not a file"):
        load_network(file, plan.network, plan.patch)


def test_a_card_larger_than_the_weights_takes_no_memory(plan: Configuration, file: Path) -> None:
    """8192 feature maps are 7 GB a convolution; what the refusal adds to the process is some megabytes."""
    network = replace(plan.network, features=(8192, 8192))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PlanError, match=r"encoder\.0\.0\.conv\.weight is 8 x 1 x 3 x 3 x 3 there and 8192 x 1"):
        load_network(file, network, plan.patch)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_shapes_do_not_load_the_compiler_of_torch() -> None:
    """It takes a second and 70 MB; a process of its own, since another test may have loaded it."""
    program = (
        "import sys\nfrom autospine.networks.weights import network_shapes\n"
        "from autospine.planning.document.parts import NetworkPlan\n"
        "ones = ((1, 1), (1, 1))\n"
        "network_shapes(NetworkPlan(2, 1, 2, (4, 4), ones, ones, (1, 1), bottleneck='msff'), (8, 8))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
