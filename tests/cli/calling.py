"""Commands as a user types them, for tests: called in this process, or begun in one of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner, Result

from autospine.cli.app import app


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def text(result: Result) -> str:
    """All output without the line breaks and frames of the terminal."""
    return " ".join(result.output.replace("│", " ").split())


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in text(result).replace(" ", "") or word in text(result), (word, result.output)


@dataclass(frozen=True)
class Run:
    """A run folder in which fold 0 has been planned and trained."""

    dataset: Path
    runs: Path


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


def train(dataset: Path, runs: Path, *more: object) -> tuple[object, ...]:
    return ("train", dataset, 0, "--runs", runs, "--device", "cpu", *more)


def is_whole(fold: Path) -> bool:
    names = ("model.safetensors", "history.csv", "progress.png", "run.toml", "metrics.json")
    return all((fold / name).is_file() for name in names)
