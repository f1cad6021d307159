from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autospine.networks import device
from autospine.networks.device import device_memory_gb, step_precision


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


@pytest.mark.parametrize(("dtype", "precision"), [(None, "float32"), (torch.bfloat16, "half")])
def test_precision_of_a_step_is_that_of_autocast(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype | None, precision: str
) -> None:
    monkeypatch.setattr(device, "autocast_dtype", lambda asked: dtype)
    assert step_precision(torch.device("cpu")) == precision
