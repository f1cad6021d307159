"""The job script of docs/cluster.md, with programs in the place of SLURM's that do what these do."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.calling import call
from tests.processes import group, wait_for

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell script")
PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
PROGRAMS = {
    "srun": 'exec "$@"',
    "scontrol": 'echo "$@" >> scontrol.log',
    "autospine": f'exec {sys.executable} -m autospine "$@" --device cpu --workers 0 --epochs $EPOCHS',
}


def test_the_job_script_goes_back_to_the_queue_and_on(planned: Path, toy_dataset: Path, tmp_path: Path) -> None:
    (script,) = re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    shutil.copytree(planned, tmp_path / "runs")
    (tmp_path / "runs" / toy_dataset.name).rename(tmp_path / "runs" / "my-spines")
    shutil.copytree(toy_dataset, tmp_path / "my-spines")
    (tmp_path / "bin").mkdir()
    for name, does in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    (tmp_path / "job.sh").write_text(script)
    job = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "1", "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    @contextmanager
    def submitted(epochs: int) -> Iterator[subprocess.Popen[str]]:
        command, output = ("bash", "job.sh"), {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = {**os.environ, **job, "EPOCHS": str(epochs)}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **output)  # type: ignore[call-overload]
        try:
            yield process
        finally:
            if group(process.pid):
                os.killpg(process.pid, signal.SIGKILL)

    fold = tmp_path / "runs" / "my-spines" / "3d_fullres" / "fold_1"
    with submitted(100000) as process:
        wait_for((fold / "history.csv").exists)
        (step,) = group(process.pid) - {process.pid}
        os.kill(step, signal.SIGUSR1)  # as SLURM sends it: to the job's steps, not to its script
        said, _ = process.communicate(timeout=90)
        assert process.returncode == 130, said
    assert (tmp_path / "scontrol.log").read_text() == "requeue 77_1\n"
    with submitted(len((fold / "history.csv").read_text().splitlines()) + 1) as process:
        said, _ = process.communicate(timeout=90)
        assert process.returncode == 0, said
        assert "goes on from epoch" in said
    assert (fold / "metrics.json").is_file()
    assert (tmp_path / "scontrol.log").read_text() == "requeue 77_1\n"


def test_a_command_for_each_fold_is_printed_and_nothing_trained(planned: Path, toy_dataset: Path) -> None:
    options = ("-c", "3d_fullres", "--budget", "90m", "--workers", 2, "--runs", planned)
    result = call("train", toy_dataset, "all", *options, "--commands")
    assert result.exit_code == 0, result.output
    told = [line.split() for line in result.output.splitlines()]
    assert [words[:4] for words in told] == [["autospine", "train", str(toy_dataset), str(k)] for k in range(len(told))]
    assert all(words[4:] == [str(option) for option in options] for words in told) and len(told) > 1
    assert not list(planned.glob("*/*/fold_*"))
