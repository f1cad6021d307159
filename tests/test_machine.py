"""What the machine has, and that its threads are told how to wait before torch is there to read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autospine import machine
from autospine.machine import WAITING, free_bytes, let_threads_sleep, total_bytes


def test_threads_sleep_where_the_user_has_said_nothing() -> None:
    environment = {"OMP_NUM_THREADS": "2"}
    let_threads_sleep(environment)
    assert environment == {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}


@pytest.mark.parametrize("name", WAITING)
def test_what_the_user_has_said_of_waiting_stands_alone(name: str) -> None:
    environment = {name: "ACTIVE"}
    let_threads_sleep(environment)
    assert environment == {name: "ACTIVE"}


@pytest.mark.parametrize("entry", ["autospine.training.step", "autospine.cli"])
@pytest.mark.parametrize(("own", "turns"), [({}, "1000"), ({"GOMP_SPINCOUNT": "77"}, "77")])
def test_torch_is_loaded_after_its_threads_were_told(entry: str, own: dict[str, str], turns: str) -> None:
    code = f"import {entry}, torch, sys; print(sorted(name for name in sys.modules if name == 'torch'))"
    environment = {key: value for key, value in os.environ.items() if key not in WAITING}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **own}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    told = [line.split("=")[1].strip(" '") for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    if not told:
        pytest.skip("this torch does not compute with GNU's OpenMP, which says what it was told")
    assert set(told) == {turns}


def test_free_memory_respects_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    unbounded = free_bytes()
    assert unbounded > 0
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes() > 1000
    (tmp_path / "memory.max").write_text("5000\n")
    assert free_bytes() == 4000


def test_all_memory_respects_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    whole = total_bytes()
    assert whole is not None and whole > free_bytes() * 0.5
    (tmp_path / "memory.max").write_text("1000000000\n")
    assert total_bytes() == 1_000_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert total_bytes() == whole
    monkeypatch.delattr(machine.os, "sysconf")
    assert total_bytes() is None
    (tmp_path / "memory.max").write_text("2000000000\n")
    assert total_bytes() == 2_000_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space")
def test_free_memory_respects_a_limit_of_address_space() -> None:
    code = (
        "import resource; from autospine.machine import free_bytes\n"
        "resource.setrlimit(resource.RLIMIT_AS, (600_000_000,) * 2); print(free_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < 600_000_000
