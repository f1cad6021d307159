from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest
import torch

from autospine.machine import peak
from autospine.machine.peak import PeakMemory

LINUX = pytest.mark.skipif(platform.system() != "Linux", reason="other systems do not tell a process' peak")


@LINUX
def test_memory_that_came_and_went_is_in_the_peak() -> None:
    memory = PeakMemory(torch.device("cpu"))
    before = memory.peak_bytes()
    block = torch.ones(100_000_000, dtype=torch.uint8)
    del block
    after = memory.peak_bytes()
    assert before is not None
    assert after is not None
    assert 90e6 < after - before < 130e6


@LINUX
def test_mapped_files_are_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "case.npy", np.ones(200_000_000, np.uint8))
    memory = PeakMemory(torch.device("cpu"))
    mapped = np.load(tmp_path / "case.npy", mmap_mode="r")
    assert int(mapped[::4096].sum()) > 0  # touches every page
    found = memory.peak_bytes()
    assert found is not None
    assert found < 50e6


@LINUX
def test_an_earlier_peak_is_forgotten() -> None:
    block = torch.ones(200_000_000, dtype=torch.uint8)
    del block
    found = PeakMemory(torch.device("cpu")).peak_bytes()
    assert found is not None
    assert found < 50e6


def test_unknown_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak.platform, "system", lambda: "Windows")
    assert PeakMemory(torch.device("cpu")).peak_bytes() is None
