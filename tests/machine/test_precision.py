"""Which precisions a processor computes in, and that a network computes in the one that it is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autospine.machine import precision
from autospine.machine.precision import Precision, autocast


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 clzero", True),
        ("flags : avx512f amx_bf16 amx_tile", True),
        ("Features\t: fp asimd sve i8mm bf16 dgh", True),
        ("flags : avx2 avx512f avx512_vnni", False),
        ("model name : a bf16x processor", False),
    ],
)
def test_units_are_read_from_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, units: bool) -> None:
    monkeypatch.setattr(precision, "_CPU_INFO", tmp_path / "cpuinfo")
    assert not precision.has_bfloat16_units()
    (tmp_path / "cpuinfo").write_text(text)
    assert precision.has_bfloat16_units() == units


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_autocast_is_that_of_the_precision(name: Precision) -> None:
    layer, image = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with autocast(torch.device("cpu"), name):
        assert layer(image).dtype == getattr(torch, name)
