"""Commands in a terminal, a job of a cluster, a container: signals to a whole group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import begun, train
from tests.processes import group, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="groups of processes and terminals of POSIX")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and /dev/full")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_to_the_group_of_a_training_saves_it(toy_dataset: Path, planned: Path, fold: Path, name: str) -> None:
    words = train(toy_dataset, planned, "--workers", 2, "--epochs", 100000)
    with begun(*words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_for((fold / "history.csv").exists)
        for _ in range(2):
            os.killpg(process.pid, getattr(signal, name))
        _, complaint = process.communicate(timeout=90)
        assert process.returncode == 130, complaint
        assert "the same command goes on" in complaint
        assert "Traceback" not in complaint
        assert (fold / "training.ckpt").is_file()
        assert not list(planned.rglob(".tmp-*"))
        wait_for(lambda: not group(process.pid))


def test_after_nohup_a_terminal_that_closes_changes_nothing(toy_dataset: Path, planned: Path, fold: Path) -> None:
    words = train(toy_dataset, planned, "--workers", 1, "--epochs", 12)
    with begun(*words, before="trap '' HUP;", stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_for((fold / "history.csv").exists)
        os.killpg(process.pid, signal.SIGHUP)
        said, _ = process.communicate(timeout=90)
        assert process.returncode == 0, said
        assert (fold / "metrics.json").is_file()


@LINUX
def test_no_worker_outlives_a_training_that_is_killed(toy_dataset: Path, planned: Path, fold: Path) -> None:
    words = train(toy_dataset, planned, "--workers", 2, "--epochs", 100000)
    with begun(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for((fold / "history.csv").exists)
        assert len(group(process.pid)) >= 3
        process.kill()
        process.wait()
        wait_for(lambda: not group(process.pid))


@pytest.mark.parametrize(("command", "name"), [("plan", "SIGTERM"), ("demo", "SIGHUP")])
def test_a_signal_ends_other_commands_as_ctrl_c_does(
    toy_dataset: Path, tmp_path: Path, command: str, name: str
) -> None:
    words: tuple[object, ...] = ("plan", toy_dataset, "--budget", "10m", "--device", "cpu", "--runs", tmp_path)
    until = "Measuring this machine"
    if command == "demo":
        words, until = ("demo", "--folder", tmp_path / "demo", "--device", "cpu"), "Writing the phantom"
    with begun(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if until in line:
                break
        os.killpg(process.pid, getattr(signal, name))
        _, complaint = process.communicate(timeout=90)
        assert process.returncode == 130, complaint
        assert complaint.startswith("Stopped.")
        assert "Traceback" not in complaint
        assert not list(tmp_path.rglob(".tmp-*"))
        wait_for(lambda: not group(process.pid))


INTERRUPTED = """
import autospine.cli.app as cli

def command():
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        raise SystemExit(130)

cli.app = command
cli.main()
"""


def test_an_interrupted_import_ends_with_the_same_code(tmp_path: Path) -> None:
    """Libraries make dataclasses while they are imported; Python remembers an interrupt of that to its own end."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    words = [sys.executable, "-m", "interrupted"]
    assert subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, check=False).returncode == 130


@LINUX
def test_a_stop_waits_for_an_import_to_end(tmp_path: Path) -> None:
    """In the middle of one, an interrupt may end the process with SIGABRT."""
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\n"
        "time.sleep(0.5)\nprint('imported', flush=True)\n"
    )
    code = (
        "from autospine.training.interrupt import end_on_signals\nend_on_signals()\n"
        "try:\n    import slow, time\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('stopped')"
    )
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=50)
    assert done.stdout == "imported\nstopped\n", done.stderr


@LINUX
def test_a_stop_before_a_command_has_begun_ends_like_any_other() -> None:
    code = (
        "import os, signal, autospine.cli.app as app\n"
        "app.app = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        "app.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stderr) == (130, "Stopped.\n")
