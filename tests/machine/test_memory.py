"""What memory the machine has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from autospine.machine import memory
from autospine.machine.memory import free_bytes, resident_bytes, shared_bytes, total_bytes, workers_that_fit


def test_free_memory_respects_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    unbounded = free_bytes()
    assert unbounded > 0
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() > 1000
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_bytes() == 4000


def test_all_memory_respects_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    whole = total_bytes()
    assert whole is not None and whole > free_bytes() * 0.5
    (tmp_path / "memory.max").write_text("1000000000\n")
    assert total_bytes() == 1_000_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert total_bytes() == whole
    monkeypatch.delattr(memory.os, "sysconf")
    assert total_bytes() is None
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert total_bytes() == 2_000_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space")
def test_free_memory_respects_a_limit_of_address_space() -> None:
    code = (
        "import resource; from autospine.machine.memory import free_bytes\n"
        "resource.setrlimit(resource.RLIMIT_AS, (600_000_000,) * 2); print(free_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 600_000_000


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm")
def test_the_room_in_shared_memory_is_that_of_the_system() -> None:
    free = shared_bytes()
    assert free is not None
    assert free <= shutil.disk_usage("/dev/shm").total


def test_as_many_processes_as_fit() -> None:
    assert [workers_that_fit(4, free, 100) for free in (-1, 99, 100, 399, 10_000)] == [0, 0, 1, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux says of a process")
def test_what_the_process_holds_grows_with_what_it_writes() -> None:
    before = resident_bytes()
    held = bytearray(b"x" * 50_000_000)
    assert resident_bytes() - before > 40_000_000 and len(held) == 50_000_000
