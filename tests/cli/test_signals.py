"""Commands in a terminal, a job of a cluster, a container: signals to a whole group, and displays that go away."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autospine.cli.app import app
from tests.processes import group, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="groups of processes and terminals of POSIX")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and /dev/full")


@contextmanager
def begun(*words: object, before: str = "", **more: object) -> Iterator[subprocess.Popen[str]]:
    """A command in a group of its own; `before` are words of the shell, `more` where its output goes."""
    command = ["sh", "-c", f'{before} exec "$@"', "sh", sys.executable, "-m", "autospine", *map(str, words)]
    with subprocess.Popen(command, start_new_session=True, text=True, **more) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def planned(toy_dataset: Path, toy_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs in which the toy dataset is planned and prepared."""
    runs = tmp_path_factory.mktemp("runs")
    for words in (("plan", toy_dataset, "--recipe", toy_recipe), ("train", toy_dataset, 1, "--device", "cpu")):
        result = CliRunner().invoke(app, [*map(str, words), "--runs", str(runs)])
        assert result.exit_code == 0, result.output
    return runs


@pytest.fixture
def fold(planned: Path) -> Iterator[Path]:
    """Where fold 0 is trained, afresh."""
    place = planned / "toy" / "3d_fullres" / "fold_0"
    shutil.rmtree(place, ignore_errors=True)
    yield place


def train(dataset: Path, runs: Path, *more: object) -> tuple[object, ...]:
    return ("train", dataset, 0, "--runs", runs, "--device", "cpu", *more)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
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


def is_whole(fold: Path) -> bool:
    names = ("model.safetensors", "history.csv", "progress.png", "run.toml", "metrics.json")
    return all((fold / name).is_file() for name in names)


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


@LINUX
def test_a_log_on_a_full_disk_does_not_end_a_training(toy_dataset: Path, planned: Path, fold: Path) -> None:
    with open("/dev/full", "w") as full:
        with begun(*train(toy_dataset, planned), stdout=full, stderr=full) as process:
            assert process.wait(timeout=90) == 0
    assert is_whole(fold)


def test_a_reader_that_goes_away_does_not_end_a_training(toy_dataset: Path, planned: Path, fold: Path) -> None:
    words = train(toy_dataset, planned, "--epochs", 12)
    with begun(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaint = process.stderr.read()
        assert process.wait(timeout=90) == 0
        assert complaint == ""
        assert is_whole(fold)


def test_a_terminal_that_is_gone_does_not_end_a_training(toy_dataset: Path, planned: Path, fold: Path) -> None:
    """Bars are drawn by a thread, which finds no terminal any more."""
    import pty

    ours, theirs = pty.openpty()
    with begun(
        *train(toy_dataset, planned, "--epochs", 24), stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        assert os.read(ours, 1)
        wait_for((fold / "history.csv").exists)
        os.close(ours)
        assert process.stderr is not None
        complaint = process.stderr.read()
        assert process.wait(timeout=90) == 0
        assert complaint.startswith("Standard output cannot be written")
        assert len(complaint.splitlines()) == 1
        assert is_whole(fold)


PRINTED = (("--help",), ("recipes",), ("recipes", "default"), ("describe",), ("check",), ("plan", "--explain"))


@LINUX
@pytest.mark.parametrize("words", PRINTED, ids=" ".join)
def test_a_command_that_prints_says_where_it_cannot(toy_dataset: Path, planned: Path, words: tuple[str, ...]) -> None:
    if words[0] in ("describe", "check", "plan"):
        words = (words[0], str(toy_dataset), *words[1:])
        words += () if words[0] == "check" else ("--runs", str(planned))
    environment = os.environ | {"PYTHONUNBUFFERED": "1" if words == ("recipes",) else ""}
    with open("/dev/full", "w") as full:
        with begun(*words, stdout=full, stderr=subprocess.PIPE, env=environment) as process:
            _, complaint = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "No space left" in complaint
    assert "Traceback" not in complaint
    # a reader who has seen enough is nothing to speak of
    with begun(*words, before="sleep 0.2;", stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=90) == 0
