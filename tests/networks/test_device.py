from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autospine.networks import device
from autospine.networks.device import device_memory_gb, step_machine
from autospine.planning.memory import Machine


def test_memory_of_a_gpu_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(total_memory=25_438_126_080)  # a card sold as 24 GB
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda asked: found)
    assert device_memory_gb(torch.device("cuda", 1)) == pytest.approx(25.438, abs=1e-3)


@pytest.mark.parametrize(("total", "gigabytes"), [(16_000_000_000, 16.0), (None, None)])
def test_memory_of_a_cpu_is_the_machines(
    monkeypatch: pytest.MonkeyPatch, total: int | None, gigabytes: float | None
) -> None:
    monkeypatch.setattr(device, "total_bytes", lambda: total)
    assert device_memory_gb(torch.device("cpu")) == gigabytes


@pytest.mark.parametrize(
    ("kind", "dtype", "machine"),
    [
        ("cpu", None, Machine("float32", threads=16)),
        ("cpu", torch.bfloat16, Machine("half", threads=16)),
        ("cuda", torch.float16, Machine("half", threads=1)),
    ],
)
def test_a_step_has_the_precision_of_autocast_and_the_threads_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, kind: str, dtype: torch.dtype | None, machine: Machine
) -> None:
    monkeypatch.setattr(device, "autocast_dtype", lambda asked: dtype)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert step_machine(torch.device(kind)) == machine
