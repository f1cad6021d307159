"""How a device computes: what is meant where nothing is said, and that it costs no import of torch to say it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from autospine.machine.arithmetic import Machine


def test_a_gpu_in_half_precision_is_meant() -> None:
    assert Machine() == Machine("half", 1)
    assert len({Machine(), Machine("half"), Machine("float32"), Machine("float32", 2)}) == 3


def test_a_default_of_functions_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Machine().threads = 2  # type: ignore[misc]


def test_planning_does_not_wait_for_torch() -> None:
    asked = "import sys, autospine.machine.arithmetic; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
