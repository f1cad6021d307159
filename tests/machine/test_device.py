from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autospine.machine import device
from autospine.machine.arithmetic import Machine
from autospine.machine.device import describe_device, device_memory_gb, device_names, device_of_rank, step_machine
from autospine.machine.precision import Choice, Precision
from autospine.machine.ranks import Rank


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
    ("kind", "precision", "machine"),
    [
        ("cpu", "float32", Machine("float32", threads=16)),
        ("cpu", "bfloat16", Machine("bfloat16", threads=16)),
        ("cuda", "float16", Machine("half", threads=1)),
    ],
)
def test_a_step_has_its_precision_and_the_threads_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, kind: str, precision: Precision, machine: Machine
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert step_machine(torch.device(kind), precision) == machine


def test_a_gpu_is_called_by_its_name_and_what_it_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda asked: "H100")
    monkeypatch.setattr(device, "gpu_precision", lambda asked: "bfloat16")
    gpu = torch.device("cuda")
    assert describe_device(gpu) == describe_device(gpu, Choice("bfloat16")) == "H100, bfloat16"
    assert describe_device(gpu, Choice("float32")) == "H100, float32"  # as it was told to be exact


def test_a_cpu_is_planned_for_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert step_machine(torch.device("cpu")) == Machine("float32", threads=16)


def test_a_cpu_is_called_by_its_threads_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    cpu = torch.device("cpu")
    assert device_names(cpu) == {"CPU, 16 cores, float32": "float32", "CPU, 16 cores, bfloat16": "bfloat16"}
    assert describe_device(cpu, Choice("float32")) == "CPU, 16 cores, float32"
    assert describe_device(cpu, Choice("bfloat16", 1.62)) == (
        "CPU, 16 cores, bfloat16, 1.6 times as fast as float32 on a core here"
    )
    assert describe_device(cpu, Choice("float32", 0.4)) == (
        "CPU, 16 cores, float32: bfloat16 is 0.4 times as fast on a core here"
    )
    assert describe_device(cpu, Choice("bfloat16", because="as it was begun")) == (
        "CPU, 16 cores, bfloat16, as it was begun"
    )


def test_ranks_of_a_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    ranks = [Rank(index, 6, index % 3, 3, launched=True) for index in range(6)]
    assert [device_of_rank("auto", rank).index for rank in ranks] == [0, 1, 0, 0, 1, 0]
    assert device_of_rank("cuda:1", ranks[0]).index == 1 and device_of_rank("cuda", Rank()).index is None
    assert device_of_rank("cpu", ranks[1]) == torch.device("cpu")
