"""The command line as a whole: wrong words, wrong places, and the help."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.cli.calling import Run, call, refused


def test_wrong_paths(trained: Run, tmp_path: Path) -> None:
    refused(call("plan", tmp_path / "nowhere", "--runs", tmp_path / "runs"), "nowhere")
    refused(call("train", tmp_path / "nowhere", 0, "--runs", tmp_path), "nowhere")
    refused(call("train", trained.dataset, 9, "--runs", trained.runs), "0to4")
    refused(call("train", trained.dataset, 0, "-c", "4d", "--runs", trained.runs), "4d")
    refused(call("predict", tmp_path, tmp_path / "out", "--runs", tmp_path), "no trained model")
    refused(call("evaluate", tmp_path, tmp_path / "nowhere"), "nowhere")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_usage_errors_exit_with_2(toy_dataset: Path) -> None:
    assert call("plan", toy_dataset, "--budget", "soon").exit_code == 2
    assert call("train", toy_dataset, 0, "--budget", "1m", "--epochs", "3").exit_code == 2
    assert call("fly").exit_code == 2
    assert call("plan").exit_code == 2


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "autospine", "--help"], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
    assert "predict" in done.stdout
    # half a second on a quiet machine; a busy one gets the benefit of the doubt
    assert min(times) < 1.5
    code = "import sys, autospine.cli.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "SimpleITK", "scipy", "matplotlib"} & set(loaded)
