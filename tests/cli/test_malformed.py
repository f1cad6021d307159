"""Whatever is wrong with a dataset ends in a message and exit code 1, never in a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autospine.cli.app import app
from tests.data.malformed import malformed


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("part", range(4))
def test_malformed_datasets_end_in_a_message(tmp_path: Path, part: int) -> None:
    wrong = []
    for index, (what, root) in enumerate(malformed(tmp_path / "data", 320)):
        if index % 4 != part:
            continue
        command = ("check", root) if index % 8 < 4 else ("plan", root, "--device", "cpu", "--runs", tmp_path / "runs")
        result = call(*command)
        if result.exit_code != 1 or not isinstance(result.exception, SystemExit) or len(result.output) < 40:
            wrong.append((what, command[0], result.exit_code, repr(result.exception), result.output[-300:]))
        if list((tmp_path / "runs").rglob("plan.toml")):
            wrong.append((what, "left a plan"))
            shutil.rmtree(tmp_path / "runs")
        if index % 16 > 3:
            continue
        described = call("describe", root, "--runs", tmp_path / "pictures")
        if described.exit_code not in (0, 1) or not isinstance(described.exception, SystemExit | None):
            wrong.append((what, "describe", described.exit_code, repr(described.exception), described.output[-300:]))
    assert not wrong, "\n\n".join(map(str, wrong))
