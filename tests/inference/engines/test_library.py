"""OpenVINO is loaded without what reports over the network, and not before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

CHECK = """
import socket, sys
def refuse(*given, **named):
    raise AssertionError("something wants to use the network")
socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
from autospine.inference.engines.library import has_openvino, openvino
assert has_openvino() and "openvino" not in sys.modules
openvino()
assert "openvino_telemetry" not in sys.modules, "the package that reports was loaded"
from openvino.tools.ovc import telemetry_utils
assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub", telemetry_utils.tm
assert openvino() is sys.modules["openvino"]
"""


def test_nothing_that_reports_is_loaded_and_nothing_is_left_at_home(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    for variable in ("CI", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL"):  # where the package would keep still by itself
        environment.pop(variable, None)
    done = subprocess.run([sys.executable, "-c", CHECK], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
