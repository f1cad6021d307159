"""Displays that go away, logs on full disks: the work goes on, and what is printed for its own sake says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calling import begun, is_whole, train
from tests.processes import wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="groups of processes and terminals of POSIX")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc and /dev/full")


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
