"""That threads are told how to wait before torch is there to read it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autospine.machine.cores import WAITING, let_threads_sleep


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
